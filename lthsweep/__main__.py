"""`python -m lthsweep`."""

from lthsweep.cli import main

main()
