"""Experiments of text classification."""
