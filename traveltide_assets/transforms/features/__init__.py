"""Features of customers: `catalogue` declares them, `expressions` is what they are made of, `build` runs them."""
