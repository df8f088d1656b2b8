"""The scoring service: perks of customers over HTTP, from what the lake holds."""
