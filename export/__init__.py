"""Exports of trained models: SavedModel, TFLite, and prediction from either."""
