"""Data of the outside world: loading, splitting and batching labelled images."""
