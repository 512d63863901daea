"""The captioning command, from picture files to captions, as a user starts it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import kerasdl
from kerasdl.data.drawn.scenes import drawn_scenes

EPOCHS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Picture files and `captions.csv`: two of the files are no readable pictures."""
    root = tmp_path_factory.mktemp("pictures")
    scenes = drawn_scenes(3, train=40, val=4, test=4)
    rows = ["image,caption,split"]
    for split in ("train", "val", "test"):
        for number, picture in enumerate(getattr(scenes, split)):
            name = f"{split}_{number}.png"
            (root / name).write_bytes(picture.data)
            rows += [f"{name},{caption},{split}" for caption in picture.captions]
    (root / "train_7.png").write_bytes(b"")
    (root / "captions.csv").write_text("\n".join(rows) + "\n")
    return root


def command(folder, workdir, *more):
    return [
        sys.executable,
        *("-m", "kerasdl.trainers.captioning"),
        f"--workdir={workdir}",
        f"--config.data.root={folder}",
        f"--config.data.cache={folder / 'cache'}",
        f"--config.epochs={EPOCHS}",
        *("--config.model.image_size=64", "--config.model.grid=2"),
        "--config.model.units=24",
        *("--config.model.dropout=0.2", "--config.batch_size=8"),
        *more,
    ]


def run(folder, workdir, *more):
    return subprocess.run(
        command(folder, workdir, *more), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "w"
    done = run(folder, workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_it_writes_what_it_promises(finished):
    workdir, _ = finished
    written = {path.name for path in workdir.iterdir()}
    assert {
        *("config.json", "metrics.jsonl", "metrics.json", "checkpoints", "model.keras"),
        *("vocab.txt", "tensorboard", "report.html", "loss.png", "samples.png"),
    } <= written
    assert {p.name for p in (workdir / "checkpoints").iterdir()} == {
        "latest.npz",
        "previous.npz",
        "best.npz",
    }


def test_metrics(finished):
    workdir, done = finished
    metrics = json.loads((workdir / "metrics.json").read_text())
    rows = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert metrics["train/loss"] == rows[metrics["best_epoch"] - 1]["train/loss"]
    for split in ("train", "val", "test"):
        assert 0 <= metrics[f"{split}/bleu4"] <= metrics[f"{split}/bleu1"] <= 1
    assert metrics["seed"] == 0
    assert metrics["parameters"] > 700_000  # most are the backbone's, up to its layer
    assert "test/bleu4" in done.stdout


def test_broken_pictures_are_named_and_counted(finished):
    workdir, done = finished
    assert done.stderr.count("skipped: ") == 1
    assert "train_7.png" in done.stderr
    assert "1 of 48 pictures could not be read" in (workdir / "report.html").read_text()


def test_report_is_one_file_with_its_pictures(finished):
    workdir, _ = finished
    page = (workdir / "report.html").read_text()
    for title in ("Captions", "Best", "Worst", "Where it looked", "What it says"):
        assert f"<h2>{title}" in page
    assert page.count("data:image/jpeg;base64,") > 20 and page.count("<svg") >= 4
    assert "http" not in page.split("</style>")[1] and len(page) < 5_000_000
    for name in ("loss.png", "samples.png"):
        with Image.open(workdir / name) as picture:
            assert min(picture.size) > 300
            assert len(set(picture.convert("L").resize((64, 64)).getdata())) > 20


def test_it_captions_from_python(finished, folder):
    workdir, done = finished
    captioner = kerasdl.load(workdir)
    caption = captioner.predict(folder / "test_0.png")["caption"]
    assert f"[test] {caption}\n" in done.stdout


def test_started_again_it_trains_no_more(run_here, finished, folder):
    workdir, _ = finished
    before = (workdir / "checkpoints" / "latest.npz").read_bytes()
    metrics = (workdir / "metrics.json").read_text()
    done = run_here(command(folder, workdir))
    assert done.returncode == 0
    assert (workdir / "checkpoints" / "latest.npz").read_bytes() == before
    assert (workdir / "metrics.json").read_text() == metrics


def weights(workdir):
    with np.load(workdir / "checkpoints" / "latest.npz") as stored:
        return {name: stored[name] for name in stored.files if name[0].isdigit()}


@pytest.mark.slow  # tests/faults kills every trainer
def test_sigkill_and_a_new_start_end_with_the_same_bits(finished, folder, tmp_path):
    workdir = tmp_path / "w"
    process = subprocess.Popen(
        command(folder, workdir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    rows = workdir / "metrics.jsonl"
    give_up = time.monotonic() + 120
    while not (rows.exists() and rows.read_text().count("\n") >= 2):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert rows.read_text().count("\n") < EPOCHS
    done = run(folder, workdir)
    assert done.returncode == 0, done.stderr
    assert "going on from epoch" in done.stderr
    expected, got = weights(finished[0]), weights(workdir)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, got[name], err_msg=name)


def test_another_config_in_the_same_folder_is_one_line(run_here, finished, folder):
    done = run_here(command(folder, finished[0], "--config.seed=1"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "seed (0 -> 1)" in done.stderr


def test_too_many_broken_pictures_end_the_run(run_here, folder, tmp_path):
    root = tmp_path / "few"
    root.mkdir()
    rows = ["image,caption,split"]
    for number in range(4):
        (root / f"{number}.png").write_bytes((folder / f"val_{number}.png").read_bytes())
        rows.append(f"{number}.png,a scene,train")
    (root / "2.png").write_bytes(b"not a picture")
    (root / "captions.csv").write_text("\n".join(rows) + "\n")
    done = run_here(command(root, tmp_path / "w"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: 1 of 4 train pictures")
    assert not os.path.exists(tmp_path / "w" / "model.keras")
