"""What computes: DuckDB on this machine, Spark on many. No other package asks which one it is."""
