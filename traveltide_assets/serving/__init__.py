"""The scoring service: a perk for a customer, over HTTP, from what the lake holds."""
