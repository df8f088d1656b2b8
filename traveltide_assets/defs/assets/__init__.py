"""The assets. Each calls a pure function, describes the result and returns it."""
