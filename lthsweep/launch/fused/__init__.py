"""Tickets trained as one model, and processes that share a GPU. Runs on a CPU never import this package."""
