"""Tables, columns, months and errors. Nothing here imports another package of this project."""
