"""Trained runs and exported artefacts as objects that answer for new inputs."""
