"""Data sets: pictures, captions, texts, and those that the package draws."""
