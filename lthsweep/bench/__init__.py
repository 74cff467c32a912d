"""How fast a sweep is beside loops that people write by hand: `python -m lthsweep.bench`."""
