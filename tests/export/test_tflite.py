import hashlib
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.data.captions.tokens import SPECIAL_TOKENS
from kerasdl.data.captions.vocabulary import END, NULL, START, UNK
from kerasdl.errors import InputError
from kerasdl.export import converter, forks
from kerasdl.export import tflite as export_tflite
from kerasdl.export.captioning import CaptioningJob
from kerasdl.export.litert import DeviceModel, read_appended
from kerasdl.export.tflite_file import append_files, check_builtin
from kerasdl.export.tflite_file import operations as operations_of
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.models.captioner import ImageCaptioner
from tests.export.conftest import tiny_backbone, write_run
from tests.export.isolation import run_without
from tests.export.test_saved_model import expected_answers, pictures, prepared

pictures = pictures  # the fixture, for this module too


def test_it_captions_where_tensorflow_cannot_be_imported(
    workdir, tflite, pictures, tmp_path
):
    for index, picture in enumerate(pictures):
        (tmp_path / f"{index:02d}.png").write_bytes(picture.bytes())
    out = run_without(
        {"tensorflow", "keras", "kerasdl.layers", "kerasdl.ops", "kerasdl.models"},
        """
import json, pathlib
from kerasdl.export.litert import DeviceModel
model = DeviceModel(sys.argv[1])
for file in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    print(json.dumps(model.predict(file.read_bytes())))
imported = {name.partition(".")[0] for name in sys.modules}
assert not imported & {"absl", "matplotlib", "scipy", "nltk", "ml_collections"}, imported
""",
        tflite[0],
        tmp_path,
    )
    answers = [json.loads(line) for line in out.splitlines()]
    captions, scores, _, _ = expected_answers(workdir, pictures)
    assert [answer["caption"] for answer in answers] == captions
    np.testing.assert_allclose([a["score"] for a in answers], scores, atol=1e-3)


def test_eight_threads_on_one_model_get_the_serial_answers(tflite, pictures):
    model = DeviceModel(tflite[0])
    data = [picture.bytes() for picture in pictures]
    expected = [model.predict(d) for d in data]
    assert len({answer["score"] for answer in expected}) > 1
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda d: model.predict(d), data * 30))
    assert answers == expected * 30


def test_operations_are_built_in(tflite):
    path, description = tflite
    operations = operations_of(path.read_bytes())
    assert dict(operations) == description["operations"]
    # The convolution, the loop, and what is in its body.
    assert {"CONV_2D", "WHILE", "FULLY_CONNECTED", "LOG_SOFTMAX"} <= operations.keys()
    assert not any("CUSTOM" in name or "FLEX" in name.upper() for name in operations)


def test_custom_operations_are_named_and_refused(tmp_path):
    module = tf.Module()
    module.run = tf.function(
        lambda x: {"y": tf.linalg.cholesky(x)},
        input_signature=[tf.TensorSpec((1, 3, 3), name="x")],
    )
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.run)
    theirs = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "m"))
    theirs.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    operations = operations_of(theirs.convert())
    assert operations["CUSTOM:FlexCholesky"] == 1
    with pytest.raises(InputError, match="CUSTOM:FlexCholesky"):
        check_builtin(operations)
    # And our own conversion refuses it in one line.
    with pytest.raises(InputError, match=r"\(--quantize=none\): .* ops: Cholesky"):
        converter.convert(tmp_path / "m", tmp_path / "m.tflite", "none")


def test_calls_do_not_depend_on_each_other(tflite, pictures):
    model = DeviceModel(tflite[0])
    first = [model.predict(p.bytes()) for p in pictures]
    again = [model.predict(p.bytes()) for p in reversed(pictures)]
    assert again[::-1] == first


def test_appended_files(workdir, tflite):
    path, _ = tflite
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("vocab.txt") == (workdir / "vocab.txt").read_bytes()
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["job"] == "captioning" and metadata["quantize"] == "none"
    assert metadata["input"]["shape"] == [1, 24, 24, 3]
    assert metadata["decode"]["max_length"] == 12


def test_manifest_keeps_every_export_of_the_folder(workdir, tflite):
    path, description = tflite
    entries = json.loads((path.parent / "manifest.json").read_text())
    assert entries[path.name] == description
    entry = entries[path.name]
    data = path.read_bytes()
    assert entry["files"][path.name] == {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert entry["signatures"]["serving_default"] == {
        "inputs": {"image": {"dtype": "float32", "shape": [1, 24, 24, 3]}},
        "outputs": {
            "score": {"dtype": "float32", "shape": [1]},
            "tokens": {"dtype": "int32", "shape": [1, 12]},
        },
    }
    assert entry["largest_difference"] < 1e-3
    other = path.with_name("other.tflite")
    export_tflite(workdir, other, quantize="float16", examples=3)
    entries = json.loads((path.parent / "manifest.json").read_text())
    assert entries.keys() >= {path.name, other.name}
    assert entries[path.name] == description
    assert entries[other.name]["quantize"] == "float16"


@pytest.mark.parametrize("quantize", ["dynamic", "weights"])
def test_quantised(workdir, tmp_path, tflite, quantize):
    path = tmp_path / "small.tflite"
    entry = export_tflite(workdir, path, quantize=quantize)
    agreeing = entry["comparison"]["serving_default"]["agreeing"]
    assert agreeing >= 11
    assert path.stat().st_size < tflite[0].stat().st_size


def test_int8_captions_are_refused_with_what_works(workdir, tmp_path):
    with pytest.raises(InputError, match=r"int8: captions .* dynamic, weights"):
        export_tflite(workdir, tmp_path / "m.tflite", quantize="int8")
    assert not list(tmp_path.iterdir())


def test_a_captioner_in_memory(workdir, tmp_path, pictures):
    run, path = kerasdl.load(workdir), tmp_path / "m.tflite"
    with pytest.raises(InputError, match="`vocabulary` must give the words"):
        export_tflite(run.model, path)
    words = run.vocabulary.tokens
    entry = export_tflite(run.model, path, vocabulary=words, examples=12)
    assert entry["job"] == "captioning" and entry["model"] == {}
    answers = DeviceModel(path).predict([p.bytes() for p in pictures])
    expected = run.predict([p.bytes() for p in pictures])
    assert [a["caption"] for a in answers] == [e["caption"] for e in expected]


def test_words_as_they_come(workdir, tmp_path, pictures):
    path = tmp_path / "steps.tflite"
    entry = export_tflite(workdir, path, signatures=("infer", "step"), examples=4)
    assert {"encode", "step"} <= set(entry["signatures"])
    model = DeviceModel(path)
    run = kerasdl.load(workdir)
    for picture in pictures[:3]:
        image = prepared(picture.bytes())[np.newaxis]
        states = model.signatures["encode"](image=image)
        token, said = np.array([START], "int32"), []
        for _ in range(12):
            states = model.signatures["step"](token=token, **states)
            scores = states.pop("logits")[0]
            scores[[NULL, START, UNK]] = -np.inf
            token = np.array([scores.argmax()], "int32")
            if token[0] == END:
                break
            said.append(run.vocabulary.tokens[token[0]])
        assert " ".join(said) == run.predict(picture.bytes())["caption"]


WORDS = [*SPECIAL_TOKENS, *"abcdef"]


def decoder_of(design):
    """Decoders whose states differ in kind and number, of 6 features and 9 x 2."""
    options = {"cells": 9, "whole": 6, "attention": "additive", "units": 8}
    if design == "gru":
        options |= {"rnn": "gru", "layers": 2, "features_in": "both"}
        return CaptionDecoder(len(WORDS), 24, **options)
    return CaptionEnsemble(
        [
            CaptionDecoder(len(WORDS), 24, features_in="every_step", **options),
            CaptionDecoder(len(WORDS), 24, rnn="rnn", tied=True, **options),
        ]
    )


@pytest.mark.parametrize("design", ["gru", "ensemble"])
def test_steps_of_any_decoder_are_the_whole_sequence(design, tmp_path, pictures):
    decoder = decoder_of(design)
    model = ImageCaptioner(tiny_backbone(), decoder, grid=3, components=2, views=3)
    path, options = tmp_path / "m.tflite", {"signatures": ("infer", "step")}
    export_tflite(model, path, vocabulary=WORDS, examples=2, **options)
    device = DeviceModel(path)
    image = prepared(pictures[0].bytes())[np.newaxis]
    given = np.array([[START, 5, 7, 4, 6]], "int32")
    expected = decoder((model.features(image), given)).numpy()
    states = device.signatures["encode"](image=image)
    assert set(states) == set(decoder.state_names)
    for t in range(given.shape[1]):
        states = device.signatures["step"](token=given[:, t], **states)
        logits = states.pop("logits")
        np.testing.assert_allclose(logits, expected[:, t], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "design",
    [{"rnn": "rnn", "beam_size": 3}, {"attention": True}],
)
def test_other_captioners_convert(tmp_path, design):
    workdir = write_run(tmp_path / "w", **design)
    entry = export_tflite(workdir, tmp_path / "m.tflite")
    assert entry["comparison"]["serving_default"]["agreeing"] == 12
    assert entry["largest_difference"] < 1e-3


def test_an_export_that_differs_is_refused(workdir, tmp_path, monkeypatch):
    right = CaptioningJob.graph

    def wrong(job, images, model):
        result = right(job, images, model)
        return {**result, "score": result["score"] + 0.01}

    monkeypatch.setattr(CaptioningJob, "graph", wrong)
    with pytest.raises(InputError, match=r"scores by up to 0\.01, allowed 0\.001"):
        export_tflite(workdir, tmp_path / "device" / "m.tflite")
    assert not (tmp_path / "device").exists()


def test_a_converter_that_dies_is_one_line(tmp_path, monkeypatch):
    program = tmp_path / "dies.py"
    monkeypatch.setattr(forks, "PROGRAM", program)
    for code, quantize, message in [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "int8",
            r"ended by SIGSEGV \(--quantize=int8\)",
        ),
        ("import sys; sys.exit(0)", "none", "wrote no file"),
    ]:
        program.write_text(code)
        monkeypatch.setattr(forks, "_running", None)
        with pytest.raises(InputError, match=message):
            converter.convert(tmp_path, tmp_path / "m.tflite", quantize)


def test_a_conversion_that_dies_leaves_the_next_one_alone(tmp_path):
    """Each runs in a fork of its own, whose death the program tells."""
    with pytest.raises(InputError, match=r"refused the model \(--quantize=none\): "):
        converter.convert(tmp_path / "nothing", tmp_path / "m.tflite", "none")
    program = (
        "import os, signal\n"
        "from kerasdl.export import fork_server as server\n"
        "server.KINDS['dies'] = lambda task: os.kill(os.getpid(), signal.SIGKILL)\n"
        "task = {'kind': 'dies', 'log': os.devnull}\n"
        "answers = [server.in_child(task) for _ in range(2)]\n"
        "assert all(a['code'] == -9 and a['peak_bytes'] > 1 << 20 for a in answers)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_output_names(workdir, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.tflite, got '.*m\.bin'"):
        export_tflite(workdir, tmp_path / "m.bin")
    (tmp_path / "d.tflite").mkdir()
    with pytest.raises(InputError, match=r"must be a file, got the folder"):
        export_tflite(workdir, tmp_path / "d.tflite")


def test_a_foreign_manifest_is_not_overwritten(workdir, tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "an extension"}')
    with pytest.raises(InputError, match=r"manifest\.json: exists, and is no manifest"):
        export_tflite(workdir, tmp_path / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_files_that_are_no_exports(tflite, tmp_path):
    path = tmp_path / "m.tflite"
    with pytest.raises(InputError, match=r"m\.tflite: cannot be read: No such file"):
        DeviceModel(path)
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match=r"expected a TFLite model, got .*b'hello'"):
        DeviceModel(path)
    model = tflite[0].read_bytes()
    with zipfile.ZipFile(tflite[0]) as archive:
        bare = model[: archive.infolist()[0].header_offset]
    path.write_bytes(bare)
    with pytest.raises(InputError, match=r"metadata\.json: .*File is not a zip file"):
        DeviceModel(path)
    append_files(path, {"metadata.json": '{"job": "juggling"}'})
    with pytest.raises(InputError, match=r"job must be one of captioning.*'juggling'"):
        DeviceModel(path)
    path.write_bytes(bare)
    append_files(path, {"metadata.json": '{"job": "captioning"}', "vocab.txt": "a\nb\n"})
    with pytest.raises(InputError, match=r"vocab\.txt: line 1: .* got 'a'"):
        DeviceModel(path)
    vocabulary = {"vocab.txt": read_appended(tflite[0])[1]["vocab.txt"]}
    for given in ("", ', "input": 3', ', "input": {"shape": [1], "name": "x"}'):
        path.write_bytes(bare)
        metadata = f'{{"job": "captioning"{given}}}'
        append_files(path, {"metadata.json": metadata, **vocabulary})
        with pytest.raises(InputError, match=r"m\.tflite: metadata\.json: input: "):
            DeviceModel(path)
    path.write_bytes(b"\0\0\0\0TFL3" + b"\0" * 64)
    metadata, files = read_appended(tflite[0])
    append_files(path, files)
    with pytest.raises(InputError, match="do not belong together"):
        DeviceModel(path)
    path.write_bytes(b"\0\0\0\0TFL3" + b"\0" * 64)
    del metadata["sha256"]
    append_files(path, {**files, "metadata.json": json.dumps(metadata)})
    with pytest.raises(InputError, match="not a model that LiteRT can run"):
        DeviceModel(path)


def test_another_vocabulary_or_model_is_refused(tflite, tmp_path):
    """Words in another order would be wrong captions without an error."""
    path, (metadata, files) = tmp_path / "m.tflite", read_appended(tflite[0])
    data = tflite[0].read_bytes()
    with zipfile.ZipFile(tflite[0]) as archive:
        bare = data[: archive.infolist()[0].header_offset]
    words = files["vocab.txt"].splitlines(keepends=True)
    swapped = "".join([*words[:-2], words[-1], words[-2]])
    changed = bytearray(bare)
    changed[len(bare) // 2] ^= 1
    for model, vocabulary in ((bare, swapped), (changed, files["vocab.txt"])):
        path.write_bytes(model)
        append_files(path, {**files, "vocab.txt": vocabulary})
        with pytest.raises(InputError, match=r"m\.tflite: .* do not belong together"):
            DeviceModel(path)
    path.write_bytes(bare)
    append_files(path, files)
    assert DeviceModel(path).metadata == metadata
