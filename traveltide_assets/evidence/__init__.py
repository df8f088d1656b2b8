"""Does the data support a perk, and which strategy is best? Strategies are in `segmentation/`."""
