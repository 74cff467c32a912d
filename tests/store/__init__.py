"""Tests of the store, and `factory`, which makes records for other tests too."""
