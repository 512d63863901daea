"""Repaints a picture in the manner of others, or trains a network that does.

    python -m kerasdl.trainers.style_transfer --workdir=runs/style
    python -m kerasdl.trainers.style_transfer --workdir=runs/mine \
        --config.content=town.jpg --config.styles=waves.jpg --config.image_size=512

With no picture named it draws its own and needs no network.
"""

from kerasdl.training import command

if __name__ == "__main__":
    command.train("style")
