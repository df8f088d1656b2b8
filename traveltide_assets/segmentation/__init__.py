"""Strategies that give customers segments and perks: pandas, NumPy and scikit-learn.

Nothing here imports Dagster. Strategies are tested against outcomes in `evidence/`.
"""
