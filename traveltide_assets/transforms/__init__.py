"""Pure Ibis: tables in, tables out. Nothing here imports Dagster or touches files."""
