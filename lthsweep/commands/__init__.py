"""The commands of `lthsweep`: options, output, and exit codes, a few lines each over the other packages."""

EXIT_FAILED = 1
EXIT_INCOMPLETE = 3
