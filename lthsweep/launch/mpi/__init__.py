"""Workers as ranks of an MPI job. Rank 0 coordinates, the others train."""
