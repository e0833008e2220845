"""Thousands of files from a table of settings: manifests, plans, journals, and where the work is done."""
