"""Does the personalised perk pay? An experiment planned, assigned and read."""
