"""What a Dagster instance is made of: `dagster.yaml` and the classes that it names."""
