"""`run --on slurm`: cluster jobs, and a journal of them that survives the process that submitted them."""
