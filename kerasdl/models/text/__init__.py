"""Text classifiers: token ids in, logits out."""
