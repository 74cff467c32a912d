"""Benchmarks of lthsweep: programs, run with `python -m tests.benchmarks…`, and the tests that they run."""
