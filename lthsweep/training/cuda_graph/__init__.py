"""A training step as one CUDA graph (docs/gpu.md)."""
