"""Asset checks, evaluated in every run. An error blocks, a warning deserves a look.

Each module lists its checks as data, beside the functions that evaluate them. Those functions do
not know Dagster; only `steps`, which runs them, does.
"""
