"""The lake: tables as Parquet files, a month at a time, in a folder or in S3."""
