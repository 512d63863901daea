"""The text command, from files of sentences to labels, as a user starts it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kerasdl
from kerasdl.data.drawn.sentences import generated_sentences

EPOCHS = 5
SMALL = (
    f"--config.epochs={EPOCHS}",
    "--config.model.units=16",
    "--config.model.width=8",
    "--config.batch_size=16",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train.txt and dev.txt of generated sentences, and a test.csv beside them."""
    root = tmp_path_factory.mktemp("sentences")
    dataset = generated_sentences(5, train=300, val=60, test=40)
    for name, split in (("train", dataset.train), ("dev", dataset.val)):
        rows = zip(split.labels, split.texts, strict=True)
        (root / f"{name}.txt").write_text("".join(f"{y} {x}\n" for y, x in rows))
    rows = zip(dataset.test.labels, dataset.test.texts, strict=True)
    (root / "held.csv").write_text(
        "label,text\n" + "".join(f'{y},"{x}"\n' for y, x in rows)
    )
    (root / "unlabelled.txt").write_text("".join(f"{x}\n" for x in dataset.test.texts))
    return root


def command(workdir, *more):
    return [
        sys.executable,
        *("-m", "kerasdl.trainers.text_classification", f"--workdir={workdir}"),
        *more,
    ]


def run(workdir, *more):
    return subprocess.run(
        command(workdir, *more), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "w"
    done = run(
        workdir, f"--config.data.root={folder}", f"--config.data.test={folder}/held.csv",
        *SMALL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_it_writes_what_it_promises(finished):
    workdir, done = finished
    assert {path.name for path in workdir.iterdir()} >= {
        *("config.json", "metrics.jsonl", "metrics.json", "checkpoints", "model.keras"),
        *("vocab.txt", "labels.txt", "tokenizer.json", "tensorboard", "report.html"),
        *("loss.png", "samples.png", "confusion.png", "calibration.png", "length.png"),
    }
    metrics = json.loads((workdir / "metrics.json").read_text())
    rows = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert metrics["val/accuracy"] == max(row["val/accuracy"] for row in rows)
    assert metrics["train/loss"] == rows[metrics["best_epoch"] - 1]["train/loss"]
    for split in ("train", "val", "test"):
        assert 0 <= metrics[f"{split}/accuracy"] <= 1
    assert metrics["bytes"] == (workdir / "model.keras").stat().st_size
    assert (workdir / "labels.txt").read_text() == "0\n1\n"
    assert "test/accuracy" in done.stdout
    page = (workdir / "report.html").read_text()
    assert page.count("<svg") >= 5 and page.count("<i style=") > 20
    assert "unknown word" in page


def test_predictions_of_a_file(run_here, finished, folder):
    workdir, _ = finished
    done = run_here(command(workdir, f"--predict={folder}/unlabelled.txt"))
    assert done.returncode == 0, done.stderr
    assert (workdir / "predictions.txt").read_text() == done.stdout
    labels = done.stdout.splitlines()
    sentences = (folder / "unlabelled.txt").read_text().splitlines()
    classifier = kerasdl.load(workdir)
    assert labels == [answer["label"] for answer in classifier.predict(sentences)]
    held = (folder / "held.csv").read_text().splitlines()[1:]
    right = np.mean([a == b.split(",")[0] for a, b in zip(labels, held, strict=True)])
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert right == pytest.approx(metrics["test/accuracy"])


def test_predictions_of_a_run_in_a_folder_that_is_read_only(
    run_here, finished, folder, monkeypatch
):
    workdir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}

    def refuse(path, data):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    done = run_here(command(workdir, f"--predict={folder}/unlabelled.txt"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: {workdir / 'predictions.txt'} cannot be written: Read-only file system."
    )
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


def test_bad_lines_of_a_file_to_predict(run_here, finished, folder, tmp_path):
    workdir, _ = finished
    (tmp_path / "f.txt").write_text("the food was good .\n\nthe room\0 was bad .\n")
    done = run_here(command(workdir, f"--predict={tmp_path}/f.txt"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/f.txt: line 3: ")


def test_a_blank_line_to_predict_gets_an_empty_answer(
    run_here, finished, folder, tmp_path
):
    workdir, _ = finished
    (tmp_path / "f.txt").write_text("the food was good .\n\nthe room was bad .\n")
    done = run_here(command(workdir, f"--predict={tmp_path}/f.txt"))
    assert done.returncode == 0
    first, blank, last = done.stdout.splitlines()
    assert blank == "" and first and last


def test_how_to_read_a_file_to_predict_is_not_of_the_run(
    run_here, finished, folder, tmp_path
):
    """A finished run is not trained again, nor refused, for skipping bad lines now."""
    workdir, _ = finished
    (tmp_path / "f.txt").write_text("the food was good .\nthe room\0 was bad .\n")
    done = run_here(
        command(
            workdir, f"--predict={tmp_path}/f.txt", "--config.data.skip_bad_lines=True"
        )
    )
    assert done.returncode == 0, done.stderr
    first, bad = done.stdout.splitlines()
    assert bad == "" and first
    assert "1 bad lines got an empty label" in done.stderr
    assert "epoch" not in done.stderr


def test_another_config_in_the_same_folder_is_one_line(run_here, finished, folder):
    done = run_here(
        command(finished[0], f"--config.data.root={folder}", *SMALL, "--config.seed=1")
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "seed (0 -> 1)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--config.data.root=/nowhere"], 1, "names no folder"),
        (["--config.model.name=gpt"], 1, "model.name must be one of bag_of_words"),
        (["--config.data.tokenizer=bpe"], 1, "must be one of whitespace, text"),
        (["--config.data.max_tokens=0"], 1, "data.max_tokens must be positive, got 0"),
        (["--config.model.untis=3"], 2, "untis"),
        (
            ["--config=configs/text/all.py", "--config.models=average,gpt"],
            1,
            "--config.models must be names of average, bag_of_words, best,",
        ),
        (
            ["--config.model.name=bag_of_words", "--config.model.vectors=glove"],
            1,
            "model.vectors must be random for bag_of_words",
        ),
        (["--config.data.test=/nowhere.txt"], 1, "data.test needs --config.data.root"),
    ],
)
def test_wrong_arguments_are_one_line(run_here, tmp_path, arguments, code, message):
    done = run_here(command(tmp_path / "w", *arguments))
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert "Traceback" not in done.stderr


def weights(workdir):
    with np.load(workdir / "checkpoints" / "latest.npz") as stored:
        return {name: stored[name] for name in stored.files if name[0].isdigit()}


@pytest.mark.slow  # tests/faults kills every trainer
def test_sigkill_and_a_new_start_end_with_the_same_bits(finished, folder, tmp_path):
    workdir = tmp_path / "w"
    arguments = (f"--config.data.root={folder}", *SMALL)
    process = subprocess.Popen(
        command(workdir, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = workdir / "metrics.jsonl"
    give_up = time.monotonic() + 300
    while not (rows.exists() and rows.read_text().count("\n") >= 2):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert rows.read_text().count("\n") < EPOCHS
    done = run(workdir, *arguments)
    assert done.returncode == 0, done.stderr
    expected, got = weights(finished[0]), weights(workdir)
    for name, value in expected.items():
        np.testing.assert_array_equal(value, got[name], err_msg=name)


def test_several_models_and_their_table(run_here, folder, tmp_path):
    workdir = tmp_path / "w"
    done = run_here(
        command(
            workdir,
            "--config=configs/text/all.py",
            f"--config.data.root={folder}",
            "--config.models=bag_of_words,average",
            "--config.epochs=2",
        )
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((workdir / "metrics.json").read_text())
    for name in ("bag_of_words", "average"):
        own = json.loads((workdir / name / "metrics.json").read_text())
        assert metrics[f"{name}/val/accuracy"] == own["val/accuracy"]
        assert (workdir / name / "report.html").is_file()
        assert name in done.stdout
    best = metrics["best_model"]
    assert metrics[f"{best}/val/accuracy"] == max(
        metrics["bag_of_words/val/accuracy"], metrics["average/val/accuracy"]
    )
    assert (workdir / "model.keras").read_bytes() == (
        workdir / best / "model.keras"
    ).read_bytes()
    assert kerasdl.load(workdir).predict("the food was good .")["label"] in ("0", "1")
    assert "best_model" in (workdir / "report.html").read_text()
