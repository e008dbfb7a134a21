"""Base models: where they come from and what they expect."""
