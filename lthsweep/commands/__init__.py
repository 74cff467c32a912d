"""The verbs of the command line, grouped by what they are about; each a few lines over the public API."""
