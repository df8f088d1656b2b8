"""All that imports Dagster."""
