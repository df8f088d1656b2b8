"""Attacks on the system: what was tried, and what it survived.

One module per attack, each a command with a function `main`: `python -m benchmarks.hardening.NAME`.
It ends with `Tally.show`, which prints a table and fails the command if anything was not survived.
`make hardening` runs all of them. `tally.py` has the table, and `commands.py` what attacks on
commands share; they are no attacks.
"""
