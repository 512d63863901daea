import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.errors import InputError
from kerasdl.export.bulk_inputs import Row, list_inputs
from kerasdl.export.bulk_model import BulkModel
from kerasdl.export.bulk_plan import make_plan
from kerasdl.export.served import ServedModel
from tests.export.isolation import REPOSITORY


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def save(folder, function, **specs):
    module = tf.Module()
    module.run = tf.function(
        function, input_signature=[tf.TensorSpec(*s, name=n) for n, s in specs.items()]
    )
    signatures = {"serving_default": module.run.get_concrete_function()}
    tf.saved_model.save(module, str(folder), signatures)
    return folder


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """A SavedModel that counts the characters of sentences, and fails on some."""

    def run(text):
        checks = [tf.debugging.Assert(tf.reduce_all(text != "fail"), ["a bad word"])]
        with tf.control_dependencies(checks):
            return {"length": tf.strings.length(text)}

    return save(tmp_path_factory.mktemp("counter") / "1", run, text=((None,), tf.string))


def finish_without_beam(plan, stop_after=None):
    model = BulkModel(plan.model, plan.features)
    todo = plan.missing()[:stop_after]
    for shard in todo:
        plan.write(shard, model.outcomes(plan.rows(shard)))
    return len(todo)


def test_pictures_come_once_and_rows_of_tables_each(tmp_path):
    for name in ("b.jpg", "a.png", "notes.md", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.JPG").touch()
    table = tmp_path / "t.csv"
    table.write_text('id,image\n1,a.png\n2\n3,"x, y.png"\n4,a.png\n5,\n')
    globs = [f"{tmp_path}/**/*.[jJ][pP][gG]", f"{tmp_path}/a.png", str(tmp_path)]
    found = list(list_inputs([*globs, str(table)], "picture"))
    paths = [os.path.relpath(row.value, tmp_path) for row in found if not row.reason]
    assert paths == ["b.jpg", "deep/c.JPG", "a.png", "a.png", "x, y.png", "a.png"]
    reasons = [row.reason for row in found if row.reason]
    assert "line 3: expected 2 fields (id,image), got 1" in reasons[0]
    assert "line 6: expected text, got none" in reasons[1]
    assert found[3].name == f"{table}: line 2"
    (other,) = list_inputs([str(tmp_path / "notes.md")], "picture")
    assert "expected a picture's ending" in other.reason


def test_sentences_of_lines_and_of_json(tmp_path):
    text = tmp_path / "t.txt"
    text.write_bytes(b"\xef\xbb\xbfone\r\n\n\xfe\ntwo\n")
    rows = list(list_inputs([str(text)], "text"))
    assert [row.value for row in rows] == ["one", "", "", "two"]
    assert "line 2: expected text, got none" in rows[1].reason
    assert "line 3: expected UTF-8, got byte 0xfe" in rows[2].reason
    table = tmp_path / "t.jsonl"
    table.write_text('{"say": "a\\nb"}\n[1]\n{"say": 3}\n')
    rows = list(list_inputs([str(table)], "text", "say"))
    assert [(row.value, bool(row.reason)) for row in rows] == [
        ("a\nb", False),
        ("", True),
        ("", True),
    ]
    assert "expected a JSON object" in rows[1].reason
    assert "expected a string as 'say', got 3" in rows[2].reason


def test_wrong_inputs_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no file matches '.*nothing\*'"):
        list(list_inputs([f"{tmp_path}/nothing*"], "picture"))
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"line 1: expected the column 'text'"):
        list(list_inputs([str(tmp_path / "t.tsv")], "text"))


def test_every_input_once_whatever_was_killed(counter, tmp_path):
    text, output = tmp_path / "t.txt", tmp_path / "out"
    sentences = [f"sentence {'x' * k}" for k in range(8)] + ["a\u2028b\u0085c"]
    sentences[2:2], sentences[7:7] = ["fail"], [""]
    text.write_text("\n".join(sentences) + "\n", "utf-8")
    given = (str(counter), [f"{tmp_path}/*.txt"], str(output))
    plan = make_plan(*given, shard_size=4)
    assert plan.shards == 3 and finish_without_beam(plan, stop_after=1) == 1
    # Killed here; meanwhile a file came that the pattern matches.
    (tmp_path / "later.txt").write_text("later\n")
    (output / "answers-00001-of-00003.jsonl").write_text("")  # half of another's work
    (output / "answers-00001-of-00003.jsonl").unlink()
    plan = make_plan(*given, shard_size=4)
    assert plan.missing() == [1, 2]
    summary = plan.finish(finish_without_beam(plan), 1.0)
    assert (summary["inputs"], summary["answered"], summary["bad"]) == (11, 9, 2)
    assert summary["inputs_in_this_run"] == 8
    answers = [a for path in sorted(output.glob("answers-*")) for a in lines(path)]
    good = [(k, s) for k, s in enumerate(sentences, 1) if s not in ("", "fail")]
    assert answers == [
        {"input": f"{text}: line {k}", "length": len(s.encode())} for k, s in good
    ]
    bad = [b for path in sorted(output.glob("bad-*")) for b in lines(path)]
    assert [b["input"] for b in bad] == [f"{text}: line 3", f"{text}: line 8"]
    assert "[a bad word]" in bad[0]["reason"] and "node" not in bad[0]["reason"]
    assert "got none" in bad[1]["reason"]
    # A shard done twice, as by a worker that was thought dead, leaves one file.
    plan.write(2, BulkModel(str(counter)).outcomes(plan.rows(2)))
    assert plan.finish(0, 1.0)["answered"] == 9
    with pytest.raises(InputError, match=r"--shard_size was 4, got 5"):
        make_plan(*given, shard_size=5)
    (output / "answers-00002-of-00003.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"expected 3 answers and bad inputs, got 1"):
        plan.finish(0, 1.0)


def test_output_of_something_else_is_refused(counter, tmp_path):
    (tmp_path / "mine.txt").write_text("mine\n")
    with pytest.raises(InputError, match="--output must be a new folder"):
        make_plan(str(counter), [str(tmp_path / "mine.txt")], str(tmp_path))
    with pytest.raises(InputError, match="--model names no file or folder"):
        make_plan("nowhere", ["x"], str(tmp_path / "out"))


def test_all_inputs_bad_is_an_error(counter, tmp_path):
    (tmp_path / "t.txt").write_text("fail\nfail\n")
    plan = make_plan(str(counter), [str(tmp_path / "t.txt")], str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"none of 2 inputs .*bad word"):
        plan.finish(finish_without_beam(plan), 1.0)


def test_a_broken_picture_harms_no_other(saved_model, picture_folder, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes((picture_folder / "0.png").read_bytes()[:40])
    paths = [picture_folder / "0.png", broken, picture_folder / "same_as_0.tif"]
    rows = [Row(str(path), str(path)) for path in paths]
    rows.insert(1, Row("gone", str(tmp_path / "gone.png")))
    outcomes = BulkModel(str(saved_model[0])).outcomes(rows)
    first, gone, bad, tiff = outcomes
    assert first.answer == tiff.answer and first.answer["caption"]
    assert gone.answer is None and "cannot be read" in gone.reason
    assert bad.answer is None and str(broken) in bad.reason


def test_a_served_model_answers_several_at_once(tmp_path):
    def run(x):
        return {"y": 2.0 * x, "mean": tf.reduce_mean(x, axis=1)}

    folder = save(tmp_path / "1", run, x=((None, None), tf.float32))
    served = ServedModel(folder)
    ragged = [np.arange(n, dtype=np.float32) for n in (3, 3, 2)]
    for given in (ragged[:2], ragged):
        answers = served.answer(given)
        np.testing.assert_allclose(
            [a["mean"] for a in answers], [x.mean() for x in given]
        )
        for answer, x in zip(answers, given, strict=True):
            np.testing.assert_array_equal(answer["y"], 2 * x)

    def mix(x):
        return {"y": tf.reduce_sum(x, 0, True)}

    mixing = save(tmp_path / "2", mix, x=((None, 1), tf.float32))
    answers = ServedModel(mixing).answer([np.ones(1, np.float32)] * 3)
    assert [answer["y"].tolist() for answer in answers] == [[1.0]] * 3


def test_features_of_a_workdir(workdir, picture_folder, tmp_path):
    given = [str(picture_folder)]
    plan = make_plan(str(workdir), given, str(tmp_path / "out"), features=True)
    assert plan.finish(finish_without_beam(plan), 1.0)["answered"] == 7
    with np.load(tmp_path / "out" / "features-00000-of-00001.npz") as arrays:
        names, features = arrays["input"], arrays["features"]
    run = kerasdl.load(workdir)
    one = run.features([kerasdl.prediction.predictor.read_picture_input(names[3], "")])
    np.testing.assert_allclose(features[3], one[0], rtol=1e-5, atol=1e-5)


def test_features_of_an_export_are_refused(counter, tmp_path):
    (tmp_path / "t.txt").write_text("one\n")
    with pytest.raises(InputError, match="--features needs the workdir"):
        make_plan(
            str(counter), [str(tmp_path / "t.txt")], str(tmp_path / "o"), features=True
        )


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
def test_command_runs_on_beam(kind, saved_model, tflite, picture_folder, tmp_path):
    pytest.importorskip("apache_beam")
    model = {"saved_model": saved_model, "tflite": tflite}[kind][0]
    (tmp_path / "broken.png").write_bytes(b"none")
    command = [
        *(sys.executable, "-m", "kerasdl.export.bulk", f"--model={model}"),
        *("--input", f"{picture_folder}/*", f"{tmp_path}/broken.png"),
        *(f"--output={tmp_path / 'out'}", "--shard_size=3", "--json"),
    ]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run():
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=REPOSITORY, env=environment
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    summary = run()
    assert (summary["inputs"], summary["answered"], summary["bad"]) == (8, 7, 1)
    answers = [a for p in sorted((tmp_path / "out").glob("answers-*")) for a in lines(p)]
    expected = kerasdl.load(model)
    for answer in answers:
        assert answer["caption"] == expected.predict(answer["input"])["caption"]
    (bad,) = [b for p in (tmp_path / "out").glob("bad-*") for b in lines(p)]
    assert bad["input"] == str(tmp_path / "broken.png")
    if kind == "saved_model":
        (tmp_path / "out" / "answers-00001-of-00003.jsonl").unlink()
        again = run()
        assert (again["inputs_in_this_run"], again["answered"]) == (3, 7)
