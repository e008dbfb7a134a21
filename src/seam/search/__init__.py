"""The algorithm: saliency, objective, schedules, the loop, the frontier. No disk, no printing."""
