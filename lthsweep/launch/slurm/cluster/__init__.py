"""What is said to SLURM and what it answers: one queue, one set of limits, one batch script."""
