"""The video job: frames in and out, and that it goes on where it was stopped."""

import numpy as np
import pytest
from PIL import Image

from kerasdl.configs.style import video
from kerasdl.errors import InputError
from kerasdl.style.pictures import read_srgb
from kerasdl.style.video import read_video
from kerasdl.training.config import override
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.job import train
from kerasdl.training.style import make_job
from kerasdl.training.style_video import drawn_frames

pytest.importorskip("cv2")
SMALL = {
    **{"image_size": 32, "style_size": 32, "iterations": 4, "video.iterations": 2},
    **{"content_layers": "block2", "style_layers": "stem_relu6,block0"},
}


def make_config(**fields):
    return override(video.get_config(), SMALL | fields)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clip").mkdir()
    for number, frame in enumerate(drawn_frames(40, 0, 3)):
        Image.fromarray(frame).save(tmp_path / "clip" / f"{number}.png")
    return tmp_path


def test_stopped_it_goes_on_to_the_same_frames(folder, monkeypatch):
    pytest.importorskip("imageio_ffmpeg")
    config = make_config(**{"content": folder / "clip", "video.write_file": True})
    metrics = train(make_job(config), folder / "whole")
    assert metrics["frames"] == 3 and metrics["flicker"] > 0
    frames, fps = read_video(folder / "whole" / "result.mp4")
    assert (len(list(frames)), fps) == (3, 25)
    assert (folder / "whole" / "report.html").exists()

    class Stopping(SignalCatcher):
        received = property(lambda self: 15, lambda self, value: None)

    monkeypatch.setattr("kerasdl.training.style_video.SignalCatcher", Stopping)
    with pytest.raises(Interrupted, match=r"1 frames are in .* goes on from there"):
        train(make_job(config), folder / "part")
    monkeypatch.undo()
    train(make_job(config), folder / "part")
    for number in range(3):
        name = f"frames/{number:05d}.png"
        np.testing.assert_array_equal(
            read_srgb(folder / "part" / name), read_srgb(folder / "whole" / name)
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"content": "none"}, "--config.content must name a folder, got"),
        ({"content": "none.mp4"}, r"none\.mp4: no video that can be read"),
        ({"masks": "a.png"}, "--config.masks must be empty for a video"),
        ({"stretch": True}, "`stretch` must be False for a video, got True"),
        ({"video.iterations": 0}, r"`video\.iterations` must be at least 1, got 0"),
    ],
)
def test_what_is_refused_leaves_no_workdir(tmp_path, fields, message):
    with pytest.raises(InputError, match=message):
        train(make_job(make_config(**fields)), tmp_path / "w")
    assert not (tmp_path / "w").exists()
