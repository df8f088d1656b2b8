"""Predicts the perk that a new customer would get with a full history."""
