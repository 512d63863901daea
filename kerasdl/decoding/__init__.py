"""Turning scores of words into captions: greedy and beam search."""
