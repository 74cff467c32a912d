"""Pruning criteria, one module each: `scores(context) -> dict[str, Tensor]`. The registry lists them."""
