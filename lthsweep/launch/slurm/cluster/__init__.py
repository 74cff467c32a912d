"""SLURM's commands: batch scripts, submission, the queue, and limits."""
