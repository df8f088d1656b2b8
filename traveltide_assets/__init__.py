"""TravelTide: one reward perk per customer, with the evidence for it."""
