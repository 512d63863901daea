"""Experiments: one commented file each, package data that commands find anywhere."""
