"""Masks: which weights are prunable, which stay, how they are held at zero, and the proof that it happened.

`registry` and `counts` are free of torch; import modules directly.
"""
