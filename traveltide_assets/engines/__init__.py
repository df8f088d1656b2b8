"""Engines that compute: DuckDB on one machine, Spark on many, Sail in place of Spark.

Other packages do not depend on which engine runs.
"""
