"""Figures, the self-contained page and the terminal's table; modules are imported one by one.

This file imports nothing, so that `lthsweep.report.terminal` starts without matplotlib.
"""
