"""Cleaning: `parse` reads values, `rules` say what is wrong and why, `judge` applies them."""
