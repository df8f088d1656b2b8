"""The assets: each calls a pure function, describes the result and returns it."""
