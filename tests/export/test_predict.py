import json
import os
import subprocess
import sys

import pytest

import kerasdl
from kerasdl.data.broken import each_readable
from kerasdl.errors import InputError
from kerasdl.export import predict
from kerasdl.export.inputs import picture_files, spread_flag
from kerasdl.export.served import ServedModel
from tests.export.isolation import REPOSITORY, run_without

WITHOUT = {
    "saved_model": {"kerasdl.layers", "kerasdl.models", "kerasdl.ops"},
    # The last compiles expressions for .2 s, of the .6 in which the command starts.
    "tflite": {"tensorflow", "keras", "kerasdl.layers", "kerasdl.models", "kerasdl.ops"}
    | {"kerasdl.data.captions.ptb_tokens"},
}


@pytest.fixture(scope="module")
def models(saved_model, tflite):
    return {"saved_model": saved_model[0], "tflite": tflite[0]}


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
def test_command_answers_as_the_run_does(kind, models, workdir, picture_folder):
    out = run_without(
        WITHOUT[kind],
        """
import runpy
sys.argv[0] = "predict"
runpy.run_module("kerasdl.export.predict", run_name="__main__")
""",
        f"--model={models[kind]}",
        f"--input={picture_folder / '0.png'}",
        picture_folder / "1.png",
        picture_folder / "same_as_0.tif",
        "--json",
    )
    first, second, tiff = [json.loads(line) for line in out.splitlines()]
    run = kerasdl.load(workdir)
    assert first["file"] == str(picture_folder / "0.png")
    assert first["caption"] == run.predict(picture_folder / "0.png")["caption"]
    assert second["caption"] == run.predict(picture_folder / "1.png")["caption"]
    assert first["caption"] != second["caption"] and first["score"] < 0
    assert (tiff["caption"], tiff["score"]) == (first["caption"], first["score"])


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "kerasdl.export.predict", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def test_plain_lines_and_a_folder(models, picture_folder, tmp_path):
    (tmp_path / "b.png").write_bytes((picture_folder / "0.png").read_bytes())
    (tmp_path / "a.PNG").write_bytes((picture_folder / "1.png").read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    done = command(f"--model={models['tflite']}", "--input", tmp_path)
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(tmp_path / "a.PNG"), str(tmp_path / "b.png")]
    assert all(len(row) == 3 and float(row[2]) < 0 for row in rows)
    assert done.stderr.count("notes.txt") == 1


def test_one_broken_picture_is_one_line(models, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    done = command(f"--model={models['tflite']}", f"--input={tmp_path / 'cut.jpg'}")
    assert done.returncode == 1 and not done.stdout
    (line,) = [row for row in done.stderr.splitlines() if not row.startswith("INFO")]
    assert line.startswith("error: ") and "cut.jpg" in line


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model=m.tflite"], 2, "--input"),
        (["--input=a.jpg"], 2, "--model"),
        (["--model=no_such_model", "--input=a.jpg"], 1, "'no_such_model'"),
        (["--model=LICENSE", "--input=a.jpg"], 1, "expected a TFLite model"),
        (["--model=m", "--input=a.jpg", "--jsno"], 2, "jsno"),
    ],
)
def test_wrong_commands_are_one_line(arguments, code, message):
    done = command(*arguments)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1 and message in done.stderr


def test_inputs_that_are_no_pictures(models):
    model = f"--model={models['tflite']}"
    for given, message in [("no_such.jpg", "'no_such.jpg'"), ("LICENSE", "a picture")]:
        done = command(model, f"--input={given}")
        assert done.returncode == 1 and not done.stdout
        assert message in done.stderr.splitlines()[-1]


def test_models_that_are_none(tmp_path, tflite):
    with pytest.raises(InputError, match=r"names no file or folder, got '.*nothing'"):
        predict.load_model(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"no saved_model\.pb in this folder\.$"):
        predict.load_model(str(tmp_path))
    (tmp_path / "2").mkdir()
    (tmp_path / "10").mkdir()
    with pytest.raises(InputError, match=r"newest version is .*10\.$"):
        predict.load_model(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(InputError, match=r"expected a SavedModel"):
        predict.load_model(str(tmp_path))


def test_a_signature_on_something_else(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda x: {"y": x},
        input_signature=[tf.TensorSpec((None,), tf.string, name="audio")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.run)
    with pytest.raises(InputError, match=r"got serving_default\(audio\)\.$"):
        ServedModel(tmp_path)


def test_few_broken_inputs_are_skipped_many_end_the_run():
    def read(item):
        if item < 0:
            raise InputError(f"item {item} is negative")
        return item

    warnings = []
    items = [*range(39), -1, -2]
    assert list(each_readable(items, read, warnings.append)) == list(range(39))
    assert warnings == ["skipped: item -1 is negative", "skipped: item -2 is negative"]
    results = each_readable([1, -1, -2, 2], read, warnings.append)
    with pytest.raises(InputError, match=r"2 of 4 .* more than 5%; the first: item -1"):
        list(results)
    with pytest.raises(InputError, match=r"^item -7 is negative$"):
        list(each_readable([-7], read, warnings.append))


def test_picture_files(picture_folder, tmp_path):
    warnings = []
    names = [str(picture_folder), str(picture_folder / "1.png")]
    files = picture_files(names, warnings.append)
    assert len(files) == 8 and not warnings
    with pytest.raises(InputError, match="expected a picture, got"):
        picture_files([str(tmp_path)], warnings.append)


@pytest.mark.parametrize(
    ("argv", "spread"),
    [
        (["p", "--input", "a", "b"], ["p", "--input=a", "--input=b"]),
        (["p", "-input=a", "b", "--x", "c"], ["p", "-input=a", "--input=b", "--x", "c"]),
        (["p", "c", "--input=a=b"], ["p", "c", "--input=a=b"]),
    ],
)
def test_spread_flag(argv, spread):
    assert spread_flag(argv, "input") == spread
