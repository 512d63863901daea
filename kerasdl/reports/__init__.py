"""Reports of runs: curves, sample pictures, and the page that shows them."""
