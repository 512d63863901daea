"""Training: configs, workdirs, checkpoints, and the loop that the jobs share."""
