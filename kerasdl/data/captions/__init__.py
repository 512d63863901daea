"""Readers of captioned pictures."""
