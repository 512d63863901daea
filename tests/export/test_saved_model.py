import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.drawn.scenes import drawn_scenes
from kerasdl.errors import InputError
from kerasdl.export import saved_model as export_saved_model
from kerasdl.export.captioning import CaptioningJob, join_words
from kerasdl.export.comparison import Comparison, Tolerance
from kerasdl.export.proof import compare_cases, load_cases
from kerasdl.export.to_saved_model import next_version
from tests.export.isolation import run_without


def expected_answers(workdir, pictures):
    run = kerasdl.load(workdir)
    images = np.stack([prepared(p.bytes()) for p in pictures])
    ids, score = run.model.generate(images, max_length=12)
    return [run.vocabulary.decode(row) for row in ids.numpy()], score.numpy(), ids, images


def prepared(data):
    from kerasdl.data.pictures.decoding import decode_picture, prepare_picture

    return prepare_picture(decode_picture(data, "picture"), 24).astype("float32")


@pytest.fixture(scope="module")
def pictures():
    return drawn_scenes(5, train=12, val=0, test=0).train


@pytest.fixture(scope="module")
def signatures(saved_model):
    return dict(tf.saved_model.load(str(saved_model[0])).signatures)


def test_it_captions_where_kerasdl_cannot_be_imported(
    workdir, saved_model, pictures, tmp_path
):
    for index, picture in enumerate(pictures):
        (tmp_path / f"{index:02d}.png").write_bytes(picture.bytes())
    out = run_without(
        {"kerasdl", "export", "tensorflow_text"},
        """
import json, pathlib
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
files = sorted(pathlib.Path(sys.argv[2]).iterdir())
data = tf.constant([file.read_bytes() for file in files])
result = model.signatures["serving_default"](image_bytes=data)
print(json.dumps({
    "caption": [text.decode() for text in result["caption"].numpy()],
    "score": result["score"].numpy().tolist(),
}))
""",
        saved_model[0],
        tmp_path,
    )
    answer = json.loads(out.splitlines()[-1])
    captions, scores, _, _ = expected_answers(workdir, pictures)
    assert len(set(captions)) > 6  # a model that says something
    assert answer["caption"] == captions
    np.testing.assert_allclose(answer["score"], scores, atol=1e-3)


def test_signatures_on_tensors_and_ids(workdir, signatures, pictures):
    captions, scores, ids, images = expected_answers(workdir, pictures)
    result = signatures["caption_images"](images=tf.constant(images))
    np.testing.assert_array_equal(result["tokens"], ids)
    assert [text.decode() for text in result["caption"].numpy()] == captions
    np.testing.assert_allclose(result["score"], scores, atol=1e-4)
    given = signatures["score_tokens"](images=tf.constant(images), tokens=ids)
    np.testing.assert_allclose(given["score"], scores, atol=1e-4)


def test_any_batch(signatures, pictures):
    serve = signatures["serving_default"]
    data = tf.constant([picture.bytes() for picture in pictures])
    whole = serve(image_bytes=data)
    for count in (1, 5):
        part = serve(image_bytes=data[:count])
        np.testing.assert_array_equal(part["caption"], whole["caption"][:count])


def test_loading_warns_of_nothing(saved_model):
    out = run_without(
        {"kerasdl"},
        """
import logging
from absl import logging as absl_logging
absl_logging.use_absl_handler()
messages = []
class Keep(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())
logging.getLogger().addHandler(Keep(level=logging.WARNING))
import tensorflow as tf
tf.saved_model.load(sys.argv[1])
print(len(messages), messages)
""",
        saved_model[0],
    )
    assert out.splitlines()[-1] == "0 []"


def test_broken_bytes_are_refused(signatures, pictures):
    serve = signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(image_bytes=tf.constant([pictures[0].bytes(), b"no picture"]))


def test_manifest(workdir, saved_model):
    folder, description = saved_model
    assert folder.name == "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == description
    assert manifest["job"] == "captioning"
    assert manifest["signatures"]["serving_default"] == {
        "inputs": {"image_bytes": {"dtype": "string", "shape": [None]}},
        "outputs": {
            "caption": {"dtype": "string", "shape": [None]},
            "score": {"dtype": "float32", "shape": [None]},
        },
    }
    written = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert manifest["files"].keys() == written.keys()
    for name, path in written.items():
        data = path.read_bytes()
        assert manifest["files"][name]["bytes"] == len(data)
        assert manifest["files"][name]["sha256"] == hashlib.sha256(data).hexdigest()
    model = (workdir / "model.keras").read_bytes()
    assert manifest["model"]["sha256"] == hashlib.sha256(model).hexdigest()
    operations = manifest["operations"]
    assert operations["DecodePng"] >= 1 and operations["Conv2D"] >= 1
    for name, comparison in manifest["comparison"].items():
        # One more is broken on purpose.
        examples = {"serving_each": 13, "score_tokens": 1}.get(name, 12)
        assert comparison["examples"] == comparison["agreeing"] == examples
    assert 0 <= manifest["largest_difference"] < 1e-3
    assert manifest["latency"]["median_ms"] > 0


def test_versions_increase(tmp_path):
    for version in ("1", "2", "10"):
        with next_version(tmp_path / "models") as folder:
            (folder / "file").write_text(version)
        if version == "2":
            (tmp_path / "models" / "9").mkdir()
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"1", "2", "9", "10"}


def test_failure_leaves_nothing(tmp_path):
    output = tmp_path / "models"
    with pytest.raises(KeyError), next_version(output) as folder:
        (folder / "file").write_text("half")
        raise KeyError
    assert not output.exists()
    output.mkdir()
    (output / "3").mkdir()
    with pytest.raises(KeyError), next_version(output):
        raise KeyError
    assert [path.name for path in output.iterdir()] == ["3"]


def test_an_export_that_differs_is_refused(workdir, tmp_path, monkeypatch):
    right = CaptioningJob.graph

    def wrong(job, images, model):
        result = right(job, images, model)
        return {**result, "score": result["score"] + 0.01}

    monkeypatch.setattr(CaptioningJob, "graph", wrong)
    with pytest.raises(InputError, match=r"scores by up to 0\.01, allowed 0\.001"):
        export_saved_model(workdir, tmp_path / "served", examples=2)
    assert not (tmp_path / "served").exists()


def test_what_differs_is_seen(workdir, saved_model):
    cases = load_cases(saved_model[0] / "proof.npz")
    job = CaptioningJob(
        workdir, json.loads((workdir / "config.json").read_text())["config"]
    )
    tolerances = {
        "serving_default": job.encoded,
        "serving_each": job.encoded,
        "caption_images": job.tensors,
        "score_tokens": Tolerance(1.0, 1e-3),
    }
    right = [dict(case.expected) for case in cases]
    for comparison in compare_cases(cases, right, tolerances).values():
        comparison.check("the export")
    for name, output, change in [
        ("serving_default", "caption", lambda text: text + b" again"),
        ("serving_default", "score", lambda score: score + 0.2),
        ("serving_each", "status", lambda text: text + b"?"),
        ("caption_images", "score", lambda score: score - 0.01),
        ("caption_images", "tokens", lambda ids: np.where(ids == 4, 5, ids)),
        ("caption_images", "caption", lambda text: text + b" again"),
        ("score_tokens", "score", lambda score: score * 1.01),
    ]:
        wrong = [dict(answer) for answer in right]
        for case, answer in zip(cases, wrong, strict=True):
            if case.signature == name:
                answer[output] = change(answer[output])
        with pytest.raises(InputError, match="differs from the model"):
            compare_cases(cases, wrong, tolerances)[name].check("the export")


def test_a_batch_is_fair(signatures, pictures):
    data = [pictures[0].bytes(), b"no picture", pictures[1].bytes()[:99]]
    data.append(pictures[1].bytes())
    answer = signatures["serving_each"](image_bytes=tf.constant(data))
    alone = signatures["serving_default"](image_bytes=tf.constant(data[::3]))
    assert [bool(status) for status in answer["status"].numpy()] == [
        False,
        True,
        True,
        False,
    ]
    np.testing.assert_array_equal(answer["caption"].numpy()[::3], alone["caption"])
    np.testing.assert_allclose(answer["score"].numpy()[::3], alone["score"], atol=1e-5)
    assert answer["caption"].numpy()[1] == b"" and answer["score"].numpy()[1] == 0
    none = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert none["caption"].shape == none["score"].shape == (0,)


def test_comparison_limits():
    def comparison(examples, agreeing, difference=0.0):
        return Comparison(examples, agreeing, difference, Tolerance(0.98, 1e-3))

    for examples, agreeing in [(50, 49), (100, 98), (9, 9), (10, 9), (1, 1)]:
        comparison(examples, agreeing).check("it")
        with pytest.raises(InputError, match=f"{agreeing - 1} of {examples} answers"):
            comparison(examples, agreeing - 1).check("it")
    comparison(5, 5, 1e-3).check("it")
    for difference in (2e-3, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"up to {difference:.3g}, allowed 0.001"):
            comparison(5, 5, difference).check("it")


def test_join_words_is_the_vocabularys_decode():
    vocabulary = CaptionVocabulary(["a", "dog", "größer", "runs"])
    ids = np.random.default_rng(0).integers(0, len(vocabulary), (200, 7)).astype("int32")
    ids[0] = 0
    joined = join_words(tf.constant(ids), tf.constant(vocabulary.tokens))
    assert [text.decode() for text in joined.numpy()] == [
        vocabulary.decode(row) for row in ids
    ]


def test_no_run(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        export_saved_model(tmp_path, tmp_path / "served")
    assert not (tmp_path / "served").exists()


def test_unknown_job(tmp_path):
    (tmp_path / "config.json").write_text('{"job": "juggling", "config": {}}')
    with pytest.raises(InputError, match=r"captioning.*got 'juggling'"):
        export_saved_model(tmp_path, tmp_path / "served")


def test_vocabulary_of_another_model(workdir, tmp_path):
    for path in workdir.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with open(tmp_path / "vocab.txt", "a") as file:
        file.write("zebra\n")
    with pytest.raises(InputError, match=r"vocab\.txt: expected the model's \d+ words"):
        export_saved_model(tmp_path, tmp_path / "served")


def test_output_that_is_a_file(workdir, tmp_path):
    (tmp_path / "served").write_text("mine")
    with pytest.raises(InputError, match=r"--output must be a folder, got the file"):
        export_saved_model(workdir, tmp_path / "served")
    assert (tmp_path / "served").read_text() == "mine"
