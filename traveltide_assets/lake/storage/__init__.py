"""Storage of files for the lake and for landed sources: one module per kind of storage."""
