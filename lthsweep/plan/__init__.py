"""Grid → runs with keys, dependencies and cost. Pure: no torch, no disk."""
