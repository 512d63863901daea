"""One command a job: `python -m trainers.captioning --workdir=DIR`."""
