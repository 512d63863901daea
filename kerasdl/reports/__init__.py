"""What a run shows people: curves, sample pictures and the report page."""
