"""Segments and perks on frames of the cohort: pandas, NumPy and scikit-learn; no Dagster."""
