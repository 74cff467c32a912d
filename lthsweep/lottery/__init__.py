"""The experiment, reading like the paper: train dense, prune, rewind, retrain, audit."""
