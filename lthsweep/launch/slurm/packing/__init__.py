"""Runs become jobs: a forest is cut into pieces, pieces share parcels, parcels are lined up in batches. Pure."""
