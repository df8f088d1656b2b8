"""Other machines: where data lies there, and how to talk to a database. Files are in `lake/storage`."""
