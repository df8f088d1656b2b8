"""From perks to the files of the mailing tool: who is written to, with what, and what changed."""
