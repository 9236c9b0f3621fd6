"""One module for each type of channel: what a provider documents, and nothing else."""
