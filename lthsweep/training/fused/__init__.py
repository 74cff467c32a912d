"""Tickets of one dense run and rewind point, trained as one batched model (docs/fusing.md)."""
