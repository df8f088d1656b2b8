"""Other machines: where data lies there, how to talk to a database, and how to alert people."""
