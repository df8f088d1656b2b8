"""Benchmarks. Each is a command: `python -m benchmarks.<name>`."""
