"""Small, general statistical functions that several packages use. Nothing here is about travel."""
