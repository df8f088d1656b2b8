"""Asset checks: what must hold (an error) and what deserves a look (a warning), on every run.

Each module lists its checks as data, beside the functions that evaluate them; none of these
functions knows Dagster. Only `steps` does: it runs them.
"""
