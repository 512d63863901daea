"""Exports of text classifiers, each run where its clients run."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.configs.text import default
from kerasdl.data.texts.graph import encode_texts
from kerasdl.data.texts.tokens import TextVocabulary, Tokenizer
from kerasdl.errors import InputError
from kerasdl.export import saved_model as export_saved_model
from kerasdl.export import tflite as export_tflite
from kerasdl.export.jobs import load_job
from kerasdl.export.litert import DeviceModel
from kerasdl.export.litert_text import SentenceEncoder
from kerasdl.prediction.predictor import read_sentence
from kerasdl.training.text_corpus import TextCorpus
from kerasdl.training.text_objective import build_classifier
from kerasdl.training.workdir import Workdir

SENTIMENT = Path(__file__).parents[2].parent / "shared" / "data" / "sentiment"
MODELS = ("bag_of_words", "average", "ngram_bag", "rnn", "lstm", "bilstm")
ALONE = "import sys; sys.modules.update(dict.fromkeys({missing}, None)); "


def make_run(folder, name, tokenizer="whitespace", root=""):
    """A run's folder as the trainer leaves it, of a model with random weights."""
    config = default.get_config()
    config.data.tokenizer, config.data.root = tokenizer, root
    config.data.generated_train, config.data.generated_val = 120, 60
    config.data.generated_test = 5
    config.model.name, config.model.width, config.model.units = name, 8, 12
    config.model.buckets = 64
    keras.utils.set_random_seed(1)
    workdir = Workdir(folder, "text", config.to_dict()).create()
    corpus = TextCorpus(config)
    model, _ = build_classifier(config, corpus.vocabulary, 2)
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3 * random.standard_normal(variable.shape))
    corpus.save(workdir)
    model.save(folder / "model.keras")
    workdir.close()
    return folder


@pytest.fixture(scope="module")
def lstm_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "lstm", "lstm")


@pytest.fixture(scope="module")
def sentences(lstm_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "sentences.txt"
    path.write_text(
        "the food was not good .\nthe\u00a0room  was\tfine\r\nunheard words\n"
    )
    return path


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected_answers(run, path):
    import kerasdl

    classifier = kerasdl.load(run)
    lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    texts = [line.removesuffix("\r") for line in lines]
    labels = [answer["label"] for answer in classifier.predict(texts)]
    return labels, classifier.probabilities(texts)


def test_saved_model_serves_strings_and_ids_without_kerasdl(
    lstm_run, sentences, tmp_path
):
    version, manifest = export_saved_model(lstm_run, tmp_path / "served", examples=20)
    assert manifest["signatures"]["serving_default"]["inputs"]["text"]["shape"] == [None]
    assert manifest["signatures"]["classify_tokens"]["inputs"]["ids"]["shape"] == [
        None,
        None,
    ]
    code = ALONE.format(missing=["kerasdl", "keras", "tensorflow_text"]) + (
        "import json, tensorflow as tf; "
        "s = tf.saved_model.load(sys.argv[1]).signatures['serving_default']; "
        "lines = open(sys.argv[2], 'rb').read().split(b'\\n')[:-1]; "
        "r = s(text=tf.constant([x.removesuffix(b'\\r') for x in lines])); "
        "n = s(text=tf.constant([], tf.string)); "
        "e = s(text=tf.constant(['', '  '])); "
        "print(json.dumps([[x.decode() for x in r['label'].numpy()], "
        "r['probabilities'].numpy().tolist(), n['label'].shape.as_list(), "
        "e['probabilities'].shape.as_list()]))"
    )
    labels, probabilities, none, empty = json.loads(run_python(code, version, sentences))
    expected, by_model = expected_answers(lstm_run, sentences)
    assert labels == expected
    np.testing.assert_allclose(probabilities, by_model, atol=1e-5)
    assert (none, empty) == ([0], [2, 2])


def test_tflite_runs_without_tensorflow(lstm_run, sentences, tmp_path):
    path = tmp_path / "m.tflite"
    manifest = export_tflite(lstm_run, path, examples=20)
    assert not [name for name in manifest["operations"] if name.startswith("CUSTOM")]
    with zipfile.ZipFile(path) as archive:
        for name in ("vocab.txt", "labels.txt"):
            assert archive.read(name) == (lstm_run / name).read_bytes()
        assert json.loads(archive.read("tokenizer.json"))["kind"] == "whitespace"
    code = ALONE.format(missing=["tensorflow", "keras", "tensorflow_text"]) + (
        "sys.argv = ['predict', f'--model={sys.argv[1]}', f'--input={sys.argv[2]}', "
        "'--json']; import runpy; "
        "runpy.run_module('kerasdl.export.predict', run_name='__main__')"
    )
    answers = [
        json.loads(line) for line in run_python(code, path, sentences).splitlines()
    ]
    labels, probabilities = expected_answers(lstm_run, sentences)
    assert [answer["label"] for answer in answers] == labels
    assert answers[1]["file"] == f"{sentences}: line 2"
    got = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(got, probabilities, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_converts_to_built_in_operations(name, tmp_path):
    run = make_run(tmp_path / name, name)
    manifest = export_tflite(run, tmp_path / "m.tflite", examples=30)
    assert manifest["largest_difference"] < 1e-4
    assert manifest["comparison"]["serving_default"]["agreeing"] == 30
    version, _ = export_saved_model(run, tmp_path / "served", examples=30)
    assert (version / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("name", "quantize"),
    [
        ("lstm", "dynamic"),
        ("lstm", "float16"),
        ("bag_of_words", "int8"),
        ("lstm", "int8"),
        ("bilstm", "int8"),
        pytest.param("average", "int8", marks=pytest.mark.slow),
        pytest.param("ngram_bag", "int8", marks=pytest.mark.slow),
        pytest.param("rnn", "int8", marks=pytest.mark.slow),
    ],
)
def test_quantised(name, quantize, tmp_path):
    run = make_run(tmp_path / "run", name)
    path = tmp_path / "m.tflite"
    manifest = export_tflite(run, path, quantize=quantize, examples=30)
    accuracy = manifest["accuracy"]
    assert accuracy["examples"] == 60
    assert accuracy["export"] >= accuracy["model"] - 0.002


def test_int8_of_a_recurrent_model_takes_the_longest_sentence(lstm_run, tmp_path):
    path = tmp_path / "m.tflite"
    manifest = export_tflite(lstm_run, path, quantize="int8", examples=30)
    longest = max(len(e.data.split()) for e in load_job(lstm_run).examples("train", 120))
    inputs = manifest["signatures"]["serving_default"]["inputs"]
    assert inputs["ids"]["shape"] == [1, longest]
    assert "WHILE" not in manifest["operations"]
    assert manifest["operations"]["TANH"] == 2 * longest
    model = DeviceModel(path)
    words = ["good"] * longest
    cut = model.predict(" ".join(words + ["bad"] * 9).encode())
    assert cut == model.predict(" ".join(words).encode())
    assert cut != model.predict(b"bad")


def test_examples_come_from_a_whole_split_sorted_by_class(tmp_path):
    """Calibrated on the first class alone, int8 knows no score of the others."""
    lines = [f"{label} {'word ' * (1 + k % 7)}\n" for label in (0, 1) for k in range(50)]
    (tmp_path / "train.txt").write_text("".join(lines).replace("1 word", "1 other"))
    (tmp_path / "dev.txt").write_text("0 word\n1 other\n")
    run = make_run(tmp_path / "run", "average", root=str(tmp_path))
    texts = [example.data for example in load_job(run).examples("train", 20)]
    assert len(texts) == 20
    assert 5 <= sum(b"other" in text for text in texts) <= 15
    assert {len(text.split()) for text in texts} == set(range(1, 8))


TEXTS = st.text(
    st.sampled_from(" \t\v\f\x1c\x85\xa0\u2003the food")
    | st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])
).filter(lambda text: text.strip())


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_ids_on_a_device_are_those_of_the_graph(text):
    vocabulary = TextVocabulary(["the", "food", "t\xa0h", "é"])
    tokenizer = Tokenizer(max_tokens=3)
    files = {
        "vocab.txt": vocabulary.to_bytes().decode(),
        "tokenizer.json": tokenizer.to_json(),
    }
    ids = SentenceEncoder(files, "m.tflite")(text)
    expected = encode_texts([text], tokenizer, vocabulary).padded()
    np.testing.assert_array_equal(ids, expected)
    assert ids.dtype == np.int32


def test_ids_on_a_device_on_every_line_of_the_data():
    path = SENTIMENT / "dev.txt"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    texts = [line.split(" ", 1)[1] for line in path.read_text("utf-8").split("\n")[:-1]]
    vocabulary = TextVocabulary.build(
        token for text in texts[::3] for token in text.split()
    )
    files = {
        "vocab.txt": vocabulary.to_bytes().decode(),
        "tokenizer.json": Tokenizer().to_json(),
    }
    encode = SentenceEncoder(files, "m.tflite")
    rows = encode_texts(texts, Tokenizer(), vocabulary)
    got = np.concatenate([encode(text)[0] for text in texts])
    np.testing.assert_array_equal(got, rows.values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line: expected text, got none"),
        (b"a\0", "line: expected text, got NUL at character 2"),
        (b"\xff", "line: expected UTF-8, got byte 0xff"),
    ],
)
def test_bad_text_on_a_device(data, message):
    with pytest.raises(InputError, match=message):
        read_sentence(data, "line")


def test_a_zip_without_tokenizer():
    with pytest.raises(InputError, match=r"expected tokenizer\.json and vocab\.txt"):
        SentenceEncoder({"vocab.txt": "<NULL>\n<UNK>\n"}, "m.tflite")


def test_raw_text_is_served_by_a_model_that_says_what_it_needs(tmp_path):
    run = make_run(tmp_path / "raw", "average", tokenizer="text")
    version, _ = export_saved_model(run, tmp_path / "served", examples=20)
    assert (version / "assets" / "requirements.txt").read_text() == "tensorflow-text\n"
    encode = SentenceEncoder(
        {
            "vocab.txt": (run / "vocab.txt").read_text(),
            "tokenizer.json": (run / "tokenizer.json").read_text(),
        },
        "m.tflite",
    )
    with pytest.raises(InputError, match="needs TensorFlow Text"):
        encode("Fine!")
