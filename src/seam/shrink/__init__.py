"""Physical removal: a masked module becomes a smaller one with the same outputs."""
