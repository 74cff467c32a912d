"""One training: optimizers, schedules, step loop, evaluation, resumable state. Knows nothing of sweeps."""
