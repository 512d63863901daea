"""Transfer-learning experiments."""
