"""Which offer works for whom, what that is worth, and what to send next: pure functions on a log.

Nothing here needs the lake, Dagster or TravelTide's tables. Random assignment belongs in
`experiment/`, and who is written to at all in `campaign/`.
"""
