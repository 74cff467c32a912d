"""Data sets: found or downloaded, packed once to memory-mapped arrays, read as pure functions of seed and epoch.

Start with `datasets` (the registry), then `cache` (packing and opening). Only `batching` imports torch.
"""
