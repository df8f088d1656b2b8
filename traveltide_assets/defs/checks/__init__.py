"""Asset checks: what must hold (blocking) and what deserves a look (warning), on every run."""
