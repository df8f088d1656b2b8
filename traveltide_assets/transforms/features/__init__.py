"""Features of customers.

`catalogue` declares them, `expressions` has their building blocks, and `build` computes them.
"""
