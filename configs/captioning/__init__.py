"""Captioning experiments."""
