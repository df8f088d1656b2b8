"""Does the personalised perk pay? Plans, assigns and reads the experiment.

Whom the campaign contacts at all, and the holdout, belong in `campaign/`.
"""
