"""What tables, columns, months and errors are. Nothing here imports another of our packages."""
