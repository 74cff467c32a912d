"""Small hostile inputs and what must come of each."""
