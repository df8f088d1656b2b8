"""Sources of the raw tables: landed files or a PostgreSQL database.

Nothing here cleans or types a value; `transforms/cleaning` does.
"""
