"""The transfer command, from class folders to a classified picture."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import kerasdl
from kerasdl.data.drawn.shapes import drawn_shapes

EPOCHS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders of three shapes; one training file is empty, one no picture."""
    root = tmp_path_factory.mktemp("pictures")
    dataset = drawn_shapes(3, train=62, val=24, test=0, side=64)
    for split in ("train", "val"):
        for picture in getattr(dataset, split):
            if picture.label < 3:
                path = root / picture.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture.data)
    (root / "train" / "circle" / "00000.png").write_bytes(b"")
    (root / "train" / "circle" / "placeholder.gif").write_bytes(b"GIF89a")
    return root


def command(folder, workdir, *more):
    return [
        sys.executable,
        *("-m", "kerasdl.trainers.transfer"),
        f"--workdir={workdir}",
        f"--config.data.root={folder}",
        f"--config.data.cache={folder.parent / 'cache'}",
        f"--config.epochs={EPOCHS}",
        "--config.model.image_size=64",
        "--config.batch_size=8",
        "--config.learning_rate=1e-3",
        "--config.schedule=step",
        *more,
    ]


def run(folder, workdir, *more):
    return subprocess.run(
        command(folder, workdir, *more), capture_output=True, text=True, check=False
    )


FINETUNE = (
    "--config.mode=finetune",
    "--config.model.freeze=stages:4",
    "--config.probe_steps=5",
    "--config.model.dropout=0.2",
    "--config.augment.min_area=0.5",
    "--config.augment.mixup=0.4",
    "--config.augment.cutmix=1.0",
    "--config.augment.rand_operations=1",
    "--config.model.mirrored=True",
    "--config.layer_decay=0.5",
    "--config.unfreeze_every=1",
    "--config.ema=0.5",
)


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "freeze"
    done = run(folder, workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


@pytest.fixture(scope="module")
def finetuned(folder, finished, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "finetune"
    done = run(folder, workdir, *FINETUNE, f"--config.report.compare={finished[0]}")
    assert done.returncode == 0, done.stderr
    return workdir


def test_it_writes_what_it_promises(finished):
    workdir, _ = finished
    assert {
        *("config.json", "metrics.jsonl", "metrics.json", "checkpoints", "model.keras"),
        *("labels.txt", "tensorboard", "report.html", "loss.png", "samples.png"),
        *("confusion.png", "calibration.png", "class_maps.png"),
    } <= {path.name for path in workdir.iterdir()}
    assert (workdir / "labels.txt").read_text() == "circle\nsquare\ntriangle\n"


def test_metrics(finished):
    workdir, done = finished
    metrics = json.loads((workdir / "metrics.json").read_text())
    rows = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert metrics["val/accuracy_last"] == rows[-1]["val/accuracy"]
    best = rows[metrics["best_epoch"] - 1]
    assert metrics["val/accuracy"] == best["val/accuracy"]
    assert metrics["val/loss"] == pytest.approx(best["val/loss"], rel=1e-6)
    assert 0 <= metrics["val/accuracy_before"] <= 1
    assert metrics["parameters_trained"] == 3 * 1281
    assert metrics["parameters"] > 3_000_000
    assert "val/accuracy_before" in done.stdout


def test_what_is_no_picture_and_what_is_broken_is_named(finished):
    workdir, done = finished
    assert done.stderr.count("skipped: ") == 1 and "00000.png" in done.stderr
    assert done.stderr.count("placeholder.gif") == 1
    page = (workdir / "report.html").read_text()
    assert "1 of 44 pictures could not be read" in page
    assert "placeholder.gif" in page


def test_the_report_is_one_page_with_its_pictures(finished):
    workdir, _ = finished
    page = (workdir / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 5 and page.count("<svg") >= 5
    for name in ("confusion.png", "class_maps.png", "samples.png"):
        with Image.open(workdir / name) as picture:
            assert min(picture.size) > 200
            assert len(set(picture.convert("L").resize((64, 64)).getdata())) > 20


def test_it_classifies_from_python(finished, folder):
    workdir, _ = finished
    classifier = kerasdl.load(workdir)
    paths = sorted((folder / "val").glob("*/*.png"))
    metrics = json.loads((workdir / "metrics.json").read_text())
    answers = classifier.predict(paths)
    pairs = zip(answers, paths, strict=True)
    right = [answer["label"] == path.parent.name for answer, path in pairs]
    assert np.mean(right) == pytest.approx(metrics["val/accuracy"])
    for answer in answers[:2]:
        probabilities = answer["probabilities"]
        assert sum(probabilities.values()) == pytest.approx(1, rel=1e-5)
        assert answer["label"] == max(probabilities, key=probabilities.get)


def test_the_backbone_of_a_frozen_run_is_the_pretrained_one(finished):
    from kerasdl.models.backbones import build_backbone, weights_digest

    model = kerasdl.load(finished[0]).model
    pretrained = build_backbone("efficientnet_lite0", size=64)
    assert weights_digest(model.get_layer("backbone")) == weights_digest(pretrained)


def weights(workdir):
    with np.load(workdir / "checkpoints" / "latest.npz") as stored:
        return {name: stored[name] for name in stored.files if name[0].isdigit()}


def assert_same_weights(one, other):
    expected, got = weights(one), weights(other)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, got[name], err_msg=name)


def test_fine_tuning_in_two_parts_ends_with_the_same_bits(
    run_here, finetuned, folder, finished, tmp_path
):
    compare = f"--config.report.compare={finished[0]}"
    for epochs in (1, EPOCHS):
        done = run_here(
            command(
                folder, tmp_path / "w", *FINETUNE, compare, f"--config.epochs={epochs}"
            )
        )
        assert done.returncode == 0, done.stderr
    assert "going on from epoch 1" in done.stderr
    assert_same_weights(finetuned, tmp_path / "w")


def test_runs_are_set_side_by_side(finetuned):
    page = (finetuned / "report.html").read_text()
    table = page.split("Side by side")[1].split("</table>")[0]
    for cell in ("freeze", "finetune"):  # as names and as modes
        assert table.count(f"<td>{cell}</td>") == 2
    assert (finetuned / "comparison.png").is_file()


def test_three_lines_of_python(folder, tmp_path, monkeypatch):
    """A head computed at once, calibrated, with a run that loads like any other."""
    monkeypatch.chdir(tmp_path)
    data = {"root": folder, "cache": folder.parent / "cache"}
    run = kerasdl.train(
        "configs/transfer/default.py",
        data=data,
        mode="linear",
        calibration="folds",
        calibration_folds=2,
        **{"model.image_size": 64},
    )
    paths = sorted((folder / "val").glob("*/*.png"))
    answers = kerasdl.load(run).predict(paths)
    right = [
        answer["probabilities"][path.parent.name]
        for answer, path in zip(answers, paths, strict=True)
    ]
    metrics = run.metrics
    assert metrics["val/accuracy"] > 0.8 > metrics["val/accuracy_before"]
    assert -np.log(right).mean() == pytest.approx(metrics["val/loss"], rel=1e-3)
    # A few pictures that are all answered rightly make it sure, but not of everything.
    assert min(right) < 0.9999
    assert metrics["val/loss"] != metrics["val/loss_uncalibrated"]
    page = (tmp_path / "runs" / "transfer" / "report.html").read_text()
    assert "before calibration (expected error" in page


def test_a_rate_that_is_found_is_drawn_and_used(folder, tmp_path):
    data = {"root": folder, "cache": folder.parent / "cache"}
    metrics = kerasdl.train(
        "configs/transfer/default.py",
        tmp_path / "w",
        data=data,
        epochs=1,
        lr_find="use",
        schedule="step",
        **{"model.image_size": 64},
    ).metrics
    row = json.loads((tmp_path / "w" / "metrics.jsonl").read_text())
    assert row["train/learning_rate"] == pytest.approx(metrics["learning_rate_suggested"])
    assert (tmp_path / "w" / "learning_rate.png").is_file()


@pytest.mark.slow
def test_sigkill_and_a_new_start_end_with_the_same_bits(
    finetuned, folder, finished, tmp_path
):
    workdir = tmp_path / "w"
    more = (*FINETUNE, f"--config.report.compare={finished[0]}")
    process = subprocess.Popen(
        command(folder, workdir, *more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = workdir / "metrics.jsonl"
    give_up = time.monotonic() + 120
    while not (rows.exists() and rows.read_text().count("\n") >= 1):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run(folder, workdir, *more)
    assert done.returncode == 0, done.stderr
    assert_same_weights(finetuned, workdir)


@pytest.mark.parametrize(
    "argument, code, message",
    [
        (
            "--config.mode=half",
            1,
            "config.mode must be one of finetune, freeze, linear, prototype, got 'half'",
        ),
        ("--config.data.root=/none", 1, "data.root must name a folder, got '/none'"),
        ("--config.report.compare=/none", 1, "no run was written to '/none'"),
        ("--config.no_field=1", 2, "no_field"),
    ],
)
def test_a_wrong_flag_is_one_line(run_here, folder, tmp_path, argument, code, message):
    done = run_here(command(folder, tmp_path / "w", argument))
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
