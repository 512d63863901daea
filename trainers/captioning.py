"""Trains an image captioner.

    python -m kerasdl.trainers.captioning --workdir=runs/captioning
    python -m kerasdl.trainers.captioning --workdir=runs/mine --config.data.root=FOLDER

With no `--config` it draws its own pictures and needs no network.
"""

from kerasdl.training import command

if __name__ == "__main__":
    command.train("captioning")
