"""Data sets: found or fetched, packed once to memory-mapped uint8, fed as pure functions of seed and epoch.

`registry`, `pack` and `listing` are free of torch; only `batches` needs it.
"""
