"""Trains recurrent cells on a task that asks for long memory, and compares them.

    python -m kerasdl.trainers.sequence --workdir=runs/bench
    python -m kerasdl.trainers.sequence --config=configs/sequence/copying.py \
        --config.models=lstm_forget,lstm_chrono --workdir=runs/copying

With no `--config` it is the adding problem. Nothing is read: sequences are drawn.
"""

from kerasdl.training import command

if __name__ == "__main__":
    command.train("sequence")
