"""Style transfer experiments."""
