"""Small general statistics that several packages need; none of them knows TravelTide."""
