"""Figures, the self-contained page, and tables for a terminal.

This module imports nothing, so that `lthsweep.report.terminal` starts without matplotlib.
"""
