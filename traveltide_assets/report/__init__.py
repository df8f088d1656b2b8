"""The monthly report: what was decided, for whom, and how far the data supports it."""

PATH, FILE = "gold/report", "report.html"
