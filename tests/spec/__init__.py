"""Tests of `lthsweep.spec`."""
