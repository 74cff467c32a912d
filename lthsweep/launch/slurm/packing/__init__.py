"""Pack runs into jobs: cut a forest of runs into pieces, combine pieces to parcels, group parcels in batches. Pure."""
