"""Flows against shifts that are known, and what the temporal loss does."""

import dataclasses

import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.style import StyleOptions
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.options import VideoOptions
from kerasdl.style.video import (
    along,
    check_options,
    optical_flow,
    read_video,
    stylize_frames,
    trusted,
    write_video,
)


def test_a_picture_along_a_flow():
    picture = np.random.default_rng(0).uniform(0, 255, (6, 8, 3))
    flow = np.zeros((6, 8, 2))
    flow[..., 0], flow[..., 1] = 2, -1
    moved = along(picture, flow)
    np.testing.assert_allclose(moved[1:, :-2], picture[:-1, 2:], rtol=1e-5)
    np.testing.assert_allclose(moved[0, :-2], picture[0, 2:], rtol=1e-5)  # the border's
    half = along(picture, flow * [0.25, 0])
    np.testing.assert_allclose(
        half[:, :-1], (picture[:, :-1] + picture[:, 1:]) / 2, rtol=1e-5
    )


def test_what_is_trusted():
    forward = np.zeros((20, 30, 2))
    forward[..., 0] = 3
    trust = trusted(-forward, forward)
    np.testing.assert_array_equal(trust[:, 3:], 1)
    np.testing.assert_array_equal(trust[:, :3], 0)  # comes from outside the frame
    assert not trusted(forward, forward).any()  # the two contradict each other
    torn = -forward.copy()
    torn[:, 15:] = 0
    assert not trusted(torn, -torn)[:, 14:16].any()  # an edge of what moves


def test_the_flow_between_shifted_frames():
    pytest.importorskip("cv2")
    town = drawn_town(64)
    flow = optical_flow(town[:, 4:], town[:, :-4])
    np.testing.assert_allclose(np.median(flow, (0, 1)), [4, 0], atol=0.1)


def test_a_temporal_loss_and_a_warm_start_take_flicker_away():
    pytest.importorskip("cv2")
    town = drawn_town(40)
    rng = np.random.default_rng(0)
    frames = [
        np.uint8(np.clip(town[:32, 2 * k : 2 * k + 32] + rng.normal(0, 3, (32, 32, 3)),
                         0, 255))
        for k in range(3)
    ]  # fmt: skip
    options = StyleOptions(
        **{"image_size": 32, "style_size": 32, "iterations": 12},
        **{"content_layers": "block2", "style_layers": "stem_relu6,block0"},
    )
    flicker = {}
    for weight in (0.0, 20.0):
        chosen = dataclasses.replace(options, temporal_weight=weight)
        results = list(
            stylize_frames(
                frames, [drawn_strokes(32)], chosen, VideoOptions(iterations=8)
            )
        )
        assert [frame.flicker is None for frame in results] == [True, False, False]
        assert results[1].trusted > 0.5 and "loss/temporal" in results[1].losses
        flicker[weight] = np.mean([frame.flicker for frame in results[1:]])
        first = results[0].image
    assert flicker[20.0] < 0.85 * flicker[0.0]
    # Going on from the second frame gives the third to the same bits.
    rest = stylize_frames(
        frames[2:],
        [drawn_strokes(32)],
        chosen,
        VideoOptions(iterations=8),
        (frames[1], results[1].image),
    )
    np.testing.assert_array_equal(next(rest).image, results[2].image)
    assert (first != results[2].image).any()
    other = stylize_frames(
        [town[:20]], [drawn_strokes(32)], chosen, VideoOptions(), (frames[1], first)
    )
    with pytest.raises(InputError, match=r"frames must have one size, got 53 x 20 after"):
        next(other)


@pytest.mark.parametrize("field", [{"stretch": True}, {"tile_size": 128}])
def test_options_that_do_not_go_with_videos(field):
    with pytest.raises(InputError, match=r"must be (False|0) for a video, got"):
        check_options(StyleOptions(**field))


def test_a_file_of_frames(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    frames = [drawn_town(33, seed=1)[:, k : k + 35] for k in range(4)]
    write_video(tmp_path / "a.mp4", frames, 12.5)
    read, fps = read_video(tmp_path / "a.mp4")
    read = list(read)
    assert fps == 12.5 and len(read) == 4
    for one, other in zip(read, frames, strict=True):
        assert one.shape == (34, 36, 3)
        assert np.abs(one[:33, :35].astype(int) - other).mean() < 12
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"b\.mp4: no video that can be read"):
        read_video(tmp_path / "b.mp4")
