"""One training: optimisers, schedules, the step loop, evaluation, resumable state. Knows nothing of sweeps."""
