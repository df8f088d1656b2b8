"""Connections to other machines: locations of data, PostgreSQL, and the services that take alerts.

Reading and writing files, also in S3, belongs in `lake/storage`.
"""
