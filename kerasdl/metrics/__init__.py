"""Figures of merit, from well-kept libraries, on the tokens that kerasdl counts."""
