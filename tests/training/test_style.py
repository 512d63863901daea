"""The style job: which pictures it takes, and what it goes on from."""

import numpy as np
import pytest
from PIL import Image

from kerasdl.configs.style import default
from kerasdl.errors import InputError
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.training.checkpoint import read_arrays, write_arrays
from kerasdl.training.config import override
from kerasdl.training.interrupts import Interrupted, SignalCatcher
from kerasdl.training.job import prepare, train
from kerasdl.training.style import (
    PictureJob,
    as_array,
    content_picture,
    list_pictures,
    make_job,
    style_pictures,
)
from kerasdl.training.workdir import Workdir


def make_config(**fields):
    small = {
        **{"image_size": 32, "style_size": 32, "iterations": 6, "every": 2},
        **{"content_layers": "block2", "style_layers": "stem_relu6,block0"},
    }
    return override(default.get_config(), small | fields)


def test_with_none_named_pictures_are_drawn():
    config = make_config(seed=3)
    np.testing.assert_array_equal(content_picture(config), drawn_town(32, 3))
    (style,) = style_pictures(config)
    np.testing.assert_array_equal(style, drawn_strokes(32, 3))


def test_pictures_are_looked_up_below_the_root_first(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    config = make_config(content="a.png", styles="a.png, b.png", data={"root": tmp_path})
    assert content_picture(config) == tmp_path / "a.png"
    assert [str(path) for path in style_pictures(config)] == [
        str(tmp_path / "a.png"),
        "b.png",
    ]


def test_a_comma_in_a_style_picture_s_name(tmp_path):
    one, other = tmp_path / "Monet, Water Lilies.jpg", tmp_path / "b.jpg"
    for path in (one, other):
        path.write_bytes(b"")
    assert style_pictures(make_config(styles=str(one))) == [one]
    assert style_pictures(make_config(styles=[one, other])) == [one, other]
    assert style_pictures(make_config(styles=f'"{one}", {other}')) == [one, other]


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"--config\.data\.root holds no picture"):
        list_pictures(str(tmp_path), "data.root")
    with pytest.raises(InputError, match=r"--config\.data\.test must name a folder"):
        list_pictures(str(tmp_path / "none"), "data.test")


def test_a_picture_that_cannot_be_read_leaves_no_workdir(tmp_path):
    for fields in ({"content": "none.jpg"}, {"styles": "none.jpg"}, {"init": "none.jpg"}):
        with pytest.raises(InputError, match=r"none\.jpg"):
            train(make_job(make_config(**fields)), tmp_path / "w")
        assert not (tmp_path / "w").exists()


def test_an_array_is_a_picture_and_so_is_a_path(tmp_path):
    image = drawn_town(20)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(as_array(image), image)
    np.testing.assert_array_equal(as_array(tmp_path / "a.png"), image)


def run(root, monkeypatch=None, stop_after=0):
    """Optimises a picture; stops after some iterations if told to."""
    job = make_job(make_config())
    objective = prepare(job)
    with Workdir(root, job.name, job.config.to_dict()) as workdir:
        if not stop_after:
            return job, job.fit(workdir.create(), objective)
        asked = []

        class Stopping(SignalCatcher):
            @property
            def received(self):
                asked.append(1)
                return 15 if len(asked) >= stop_after else 0

            @received.setter
            def received(self, value):
                pass

        monkeypatch.setattr("kerasdl.training.style.SignalCatcher", Stopping)
        with pytest.raises(Interrupted, match="SIGTERM: the picture so far is"):
            job.fit(workdir.create(), objective)
        monkeypatch.undo()
        return job, None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return run(root)


def figures(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_rows_are_those_asked_for(whole):
    _, outcome = whole
    assert [row["iteration"] for row in outcome.rows] == [0, 2, 4, 6]
    assert outcome.rows[-1]["loss/total"] < outcome.rows[0]["loss/total"]


def test_stopped_it_goes_on_to_the_same_picture(whole, tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, stop_after=3)
    job, outcome = run(tmp_path)
    np.testing.assert_array_equal(job._result, whole[0]._result)
    assert figures(outcome.rows) == figures(whole[1].rows)


def test_the_progress_is_shown_while_a_run_goes_on(whole, tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, stop_after=5)
    with Image.open(tmp_path / "progress.jpg") as shown:
        assert shown.size == (42, 32)
    assert not (whole[1].root / "progress.jpg").exists()  # result.png has taken its place


def test_the_network_is_checked_before_a_workdir_is_made(tmp_path):
    for fields, message in (
        ({"tile_size": 30}, "`tile_size` must be at least 3[0-9] pixels .* got 30"),
        ({"style_layers": "fire2"}, "no layer 'fire2' in efficientnet_lite0"),
    ):
        with pytest.raises(InputError, match=message):
            train(make_job(make_config(**fields)), tmp_path / "w")
        assert not (tmp_path / "w").exists()


def test_masks_are_checked_before_a_workdir_is_made(tmp_path):
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "black.png")
    for masks, message in (
        ("black.png", "black.png: a mask must not be black everywhere"),
        ("black.png,black.png", "`masks` must be one for each style, got 2 for 1"),
        ("none.png", "none.png: cannot be read"),
    ):
        config = make_config(masks=masks, data={"root": tmp_path})
        with pytest.raises(InputError, match=message):
            train(make_job(config), tmp_path / "w")
        assert not (tmp_path / "w").exists()


DAMAGES = {
    "a mean that is not there": {"average": [1.0]},
    "scale beyond the end": {"scale": 1},
    "iteration beyond the end": {"iteration": 99},
    "negative iteration": {"iteration": -1},
    "iteration as text": {"iteration": "2"},
    "negative seconds": {"seconds": -1.0},
    "unknown field": {"more": 1},
    "rows of text": {"rows": ["a"]},
    "rows missing": {"rows": None},
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    root = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        job, _ = run(root, patch, stop_after=3)
    return job, root / "checkpoints" / "latest.npz"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_progress_is_refused(stopped, tmp_path, damage):
    job, path = stopped
    arrays, progress = read_arrays(path)
    write_arrays(tmp_path / "a.npz", arrays, progress | DAMAGES[damage])
    with pytest.raises(InputError, match=r"a\.npz: not a state of this run"):
        job._restore(tmp_path / "a.npz")


def test_moments_of_another_shape_are_refused(stopped, tmp_path):
    job, path = stopped
    arrays, progress = read_arrays(path)
    arrays["moments"] = arrays["moments"][:, :, :5]
    write_arrays(tmp_path / "a.npz", arrays, progress)
    with pytest.raises(InputError, match=r"a\.npz: not a state of this run: shapes"):
        job._restore(tmp_path / "a.npz")


def test_the_method_chooses_the_job():
    assert type(make_job(make_config())) is PictureJob
    assert type(make_job(make_config(method="network"))).__name__ == "NetworkJob"
