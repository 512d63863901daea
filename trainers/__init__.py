"""One command a job: `python -m kerasdl.trainers.captioning --workdir=DIR`."""
