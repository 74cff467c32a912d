"""One training: optimisers, schedules, step loop, evaluation, resumable state. Knows nothing of sweeps."""
