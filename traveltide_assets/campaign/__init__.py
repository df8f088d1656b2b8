"""From perks to the files of the mailing tool: who is contacted, with which offer, what changed.

The arms of the experiment are assigned in `experiment/`.
"""
