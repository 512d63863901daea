"""`kerasdl.train`: what the commands do, from Python."""

import json

import pytest

import kerasdl
from kerasdl import train
from kerasdl.errors import InputError

SMALL = {
    "model": {"name": "bag_of_words"},
    "data.generated_train": 120,
    "data.generated_val": 30,
    "data.generated_test": 20,
    "epochs": 1,
    "clip_norm": 0.0,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "w"
    return train("configs/text/default.py", root, **SMALL)


def test_it_returns_the_figures_and_the_folder(finished):
    written = json.loads((finished.workdir / "metrics.json").read_text())
    assert finished.metrics == written
    assert 0 <= finished.metrics["val/accuracy"] <= 1
    config = json.loads((finished.workdir / "config.json").read_text())["config"]
    assert config["model"]["name"] == "bag_of_words"
    assert config["data"]["generated_train"] == 120


def test_load_takes_the_run(finished):
    label = kerasdl.load(finished).predict("the food was good .")["label"]
    assert label in (finished.workdir / "labels.txt").read_text().splitlines()


def test_started_again_with_more_epochs_it_goes_on(finished, capsys):
    again = train("configs/text/default.py", finished.workdir, **SMALL | {"epochs": 2})
    assert "going on from epoch 1" in capsys.readouterr().err
    assert again.metrics["best_epoch"] in (1, 2)


def test_a_refused_run_leaves_nothing_and_the_corrected_one_runs(tmp_path):
    sentences = tmp_path / "sentences"
    sentences.mkdir()
    (sentences / "train.txt").write_text("0 bad film\n1 good film\n" * 20)
    (sentences / "dev.txt").write_text("0 bad\n1 good\n")
    workdir = tmp_path / "w"
    more = {k: v for k, v in SMALL.items() if not k.startswith("data")}

    def run(**fields):
        return train("configs/text/default.py", workdir, **more | fields)

    for fields, message in (
        ({"data.root": tmp_path / "wrong"}, "wrong"),
        ({"monitor": "val/bleu"}, "monitor must be one of"),
        ({"model.vectors": "glove"}, "must be random for bag_of_words"),
        ({"pretraining.epochs": 2}, "pretraining.epochs must be 0"),
        ({"adversarial": 0.5}, "adversarial must be 0"),
        ({"data.test": sentences / "none.txt", "data.root": sentences}, "none.txt"),
    ):
        with pytest.raises(InputError, match=message):
            run(**fields)
        assert not workdir.exists(), fields
    assert run(**{"data.root": sentences}).metrics["best_epoch"] == 1
