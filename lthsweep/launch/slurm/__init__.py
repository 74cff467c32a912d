"""`run --on slurm`: jobs that a cluster runs, and a record of them that survives whoever submitted them."""
