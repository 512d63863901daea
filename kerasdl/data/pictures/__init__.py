"""Pictures: which files are pictures, how they are decoded, in Python and in a graph."""
