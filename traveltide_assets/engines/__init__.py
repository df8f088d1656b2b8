"""Engines that compute: DuckDB on one machine, Spark on many.

Other packages do not depend on which engine runs.
"""
