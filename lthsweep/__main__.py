"""The command line as `python -m lthsweep`."""

from lthsweep.cli import main

main()
