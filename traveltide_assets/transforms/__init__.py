"""Pure Ibis: tables in, tables out; no Dagster, no files."""
