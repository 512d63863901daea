"""Long-memory tasks: a bench of recurrent cells."""
