"""Trains a picture classifier on a pretrained network.

    python -m kerasdl.trainers.transfer --workdir=runs/transfer
    python -m kerasdl.trainers.transfer --workdir=runs/mine --config.data.root=FOLDER

FOLDER holds a folder for each class, or `train/` and `val/` of such folders. With no
`--config` it draws its own pictures and needs no network.
"""

from kerasdl.training import command

if __name__ == "__main__":
    command.train("transfer")
