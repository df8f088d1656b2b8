"""Cleaning: `parse` reads values, `rules` declares what is wrong, `judge` applies the rules."""
