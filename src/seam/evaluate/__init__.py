"""Measurements: accuracy and cost."""
