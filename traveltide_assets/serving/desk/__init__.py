"""The pages that the head of marketing opens: what a release decided, for whom, and why.

They read releases only and change nothing. `pages.py` holds the routes; each page has a module of
its name that says what it shows, and a template of the same name.
"""

from traveltide_assets.serving.desk.pages import build

__all__ = ["build"]
