"""What pytest is not to import."""

collect_ignore = ["child.py"]  # run by forks.py in other processes
