"""Readers of real formats, vocabularies, and the data sets that the package makes."""
