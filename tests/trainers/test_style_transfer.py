"""The style command as a user starts it."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import kerasdl
from kerasdl.style.examples import drawn_strokes, drawn_town

ITERATIONS = 300  # enough to be stopped among them
SMALL = (
    "--config.image_size=32",
    "--config.style_size=32",
    f"--config.iterations={ITERATIONS}",
    "--config.content_layers=block2",
    "--config.style_layers=stem_relu6,block0",
)


def command(workdir, *more):
    return [
        *(sys.executable, "-m", "kerasdl.trainers.style_transfer"),
        f"--workdir={workdir}",
        *SMALL,
        *more,
    ]


def run(workdir, *more):
    return subprocess.run(
        command(workdir, *more), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("style") / "w"
    done = run(workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_with_no_picture_named_it_writes_what_it_promises(finished):
    workdir, done = finished
    written = {path.name for path in workdir.iterdir()}
    assert {
        *("config.json", "metrics.jsonl", "metrics.json", "checkpoints", "tensorboard"),
        *("report.html", "loss.png", "samples.png", "result.png"),
    } <= written
    assert "report.html" in done.stderr
    page = (workdir / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3  # result, content, style
    assert page.count("<svg") == 2
    with Image.open(workdir / "result.png") as result:
        assert result.size == (42, 32)
        assert result.info["icc_profile"]


def test_rows_and_final_figures(finished):
    workdir, _ = finished
    rows = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(0, ITERATIONS + 1, 10))
    assert {
        *("loss/total", "loss/content", "loss/style", "loss/tv"),
        *("loss/content/block2", "loss/style/stem_relu6", "loss/style/block0"),
    } <= rows[0].keys()
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics["train/loss"] == rows[-1]["loss/total"] < rows[0]["loss/total"]
    assert metrics["parameters"] == 32 * 42 * 3
    assert metrics["seed"] == 0


def test_the_run_stylises_other_pictures(finished, tmp_path):
    Image.fromarray(drawn_town(40, seed=5)).save(tmp_path / "other.png")
    image = kerasdl.load(finished[0]).predict(tmp_path / "other.png")["image"]
    assert image.shape == (32, 42, 3)
    with Image.open(finished[0] / "result.png") as result:
        assert (np.asarray(result) != image).mean() > 0.5


def test_started_again_it_ends_with_the_same_picture(run_here, finished):
    workdir, _ = finished
    before = (workdir / "result.png").read_bytes()
    metrics = json.loads((workdir / "metrics.json").read_text())
    done = run_here(command(workdir))
    assert done.returncode == 0, done.stderr
    assert f"going on from iteration {ITERATIONS}" in done.stderr
    assert (workdir / "result.png").read_bytes() == before
    assert json.loads((workdir / "metrics.json").read_text()) == metrics


def test_ctrl_c_keeps_the_picture_and_the_run_goes_on(run_here, finished, tmp_path):
    process = subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True)
    rows = tmp_path / "metrics.jsonl"
    give_up = time.monotonic() + 120
    while not (rows.exists() and rows.read_text().count("\n") >= 3):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "SIGINT: the picture so far is " in stderr.splitlines()[-1]
    assert (tmp_path / "result.png").exists()
    assert not (tmp_path / "metrics.json").exists()
    again = run_here(command(tmp_path))
    assert again.returncode == 0, again.stderr
    assert "going on from iteration" in again.stderr
    whole, _ = finished
    for name in ("result.png", "samples.png"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    numbers = [json.loads(line)["iteration"] for line in rows.read_text().splitlines()]
    assert numbers == list(range(0, ITERATIONS + 1, 10))


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (
            "--config.method=both",
            "error: --config.method must be one of picture, network",
        ),
        ("--config.scales=0", "error: `scales` must be positive, got 0"),
        ("--config.content=none.jpg", "error: none.jpg: cannot be read: No such file"),
    ],
)
def test_a_wrong_flag_is_one_line(run_here, tmp_path, flag, line):
    done = run_here(command(tmp_path / "w", flag))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(line)
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    root = tmp_path_factory.mktemp("network")
    (root / "pictures").mkdir()
    for seed in range(12):
        Image.fromarray(drawn_town(40, seed)).save(root / "pictures" / f"{seed}.png")
    Image.fromarray(drawn_strokes(32)).save(root / "style.jpg")
    done = run(
        root / "w",
        "--config=configs/style/feed_forward.py",
        f"--config.data.root={root / 'pictures'}",
        f"--config.styles={root / 'style.jpg'}",
        "--config.network.filters=4",
        "--config.network.residual_blocks=1",
        "--config.network.steps=40",
        "--config.network.steps_per_epoch=20",
    )
    assert done.returncode == 0, done.stderr
    return root


def test_a_network_learns(network):
    lines = (network / "w" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    metrics = json.loads((network / "w" / "metrics.json").read_text())
    terms = [metrics[f"val/{term}"] for term in ("content", "style", "tv")]
    assert metrics["val/loss"] == pytest.approx(sum(terms), rel=1e-5)
    assert (network / "w" / "report.html").exists()


def test_a_network_keeps_any_pictures_size(network):
    picture = network / "odd.png"
    Image.fromarray(drawn_town(37)[:, :30]).save(picture)
    assert kerasdl.load(network / "w").predict(picture)["image"].shape == (37, 30, 3)
