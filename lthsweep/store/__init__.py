"""A sweep on disk: records, weights, and what helps to make them. Torch-free; import its modules."""
