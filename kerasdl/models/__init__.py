"""Models: captioners, classifiers and the pretrained networks under them."""
