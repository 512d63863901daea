"""Readers of weight files, into NumPy arrays by name."""
