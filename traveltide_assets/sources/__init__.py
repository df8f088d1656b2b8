"""Where the raw tables come from: landed files or a PostgreSQL database."""
