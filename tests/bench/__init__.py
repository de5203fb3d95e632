"""Measurements: ratios within one run, and figures for the documentation."""
