"""Everything that imports Dagster: assets, checks, jobs, schedules, sensors and the instance.

No computation belongs here: an asset calls a pure function, describes the result and returns it.
"""
