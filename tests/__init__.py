"""Tests, on the tree of the package."""
