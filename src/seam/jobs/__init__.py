"""The jobs: from a base model, a problem and data to a measured result."""
