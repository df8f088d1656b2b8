"""Cleaning: `parse` reads values, `values` and `rules` say what is wrong, `judge` applies them."""
