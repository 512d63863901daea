"""A video in the manner of a picture: a folder of frames, or a file, in and out.

    python -m kerasdl.trainers.style_transfer --config=configs/style/video.py \
        --config.content=clip.mp4 --config.styles=STYLE.jpg --workdir=runs/video

With none named it draws frames. The results are in the workdir's `frames`;
`--config.video.write_file` makes `result.mp4` besides. Needs the extra `[video]`.
"""

from ml_collections import ConfigDict

from kerasdl.configs.style import default


def get_config() -> ConfigDict:
    """The built-in picture experiment's, frame after frame."""
    config = default.get_config()
    config.method = "video"
    return config
