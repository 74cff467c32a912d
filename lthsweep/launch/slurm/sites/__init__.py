"""What a job looks like on one cluster: profile, partition and file, laid over each other."""
