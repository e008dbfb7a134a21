"""What a run leaves behind: atomic files, adapters, model cards and the run folder."""
