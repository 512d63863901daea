import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import END, NULL, START, UNK, CaptionVocabulary
from kerasdl.errors import InputError


@pytest.fixture
def vocabulary():
    return CaptionVocabulary(["a", "dog", "runs"])


def test_special_tokens_have_the_ids_0_to_3(vocabulary):
    assert (NULL, START, END, UNK) == (0, 1, 2, 3)
    assert vocabulary.tokens[:4] == ("<NULL>", "<START>", "<END>", "<UNK>")
    assert len(vocabulary) == 7


def test_build_orders_by_frequency_then_code_points():
    words = ["b", "a", "c", "b", "c", "b", "ä", "Z"]
    for given_words in (words, words[::-1]):
        built = CaptionVocabulary.build(given_words)
        assert built.tokens[4:] == ("b", "c", "Z", "a", "ä")


@pytest.mark.parametrize(
    ("min_count", "words"), [(1, "wxyz"), (2, "xyz"), (3, "yz"), (4, "z"), (5, "")]
)
def test_build_drops_words_below_min_count(min_count, words):
    captions = ["zyxw", "zyx", "zy", "z"]
    built = CaptionVocabulary.build("".join(captions), min_count=min_count)
    assert sorted(built.tokens[4:]) == list(words)


def test_build_keeps_the_most_frequent_words_within_max_size():
    built = CaptionVocabulary.build("aabbbc", max_size=6)
    assert built.tokens[4:] == ("b", "a")
    assert len(built) == 6


def test_build_leaves_out_words_spelt_like_special_tokens():
    assert CaptionVocabulary.build(["<END>", "dog", "<UNK>"]).tokens[4:] == ("dog",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_count": 0}, "`min_count`, expected a positive integer, got 0"),
        ({"max_size": 4}, "`max_size`, expected 0 .* or more than 4 .*, got 4"),
        ({"max_size": -1}, "`max_size`, .*, got -1"),
    ],
)
def test_build_refuses_numbers_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        CaptionVocabulary.build(["dog"], **arguments)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dog", "dog"], "each word once .*, got 'dog' again"),
        (["<END>"], "no special token, got '<END>' again"),
        (["hot dog"], "without white space, got 'hot dog'"),
        ([""], "without white space, got ''"),
    ],
)
def test_refuses_words_that_cannot_be_told_apart(words, message):
    with pytest.raises(ValueError, match=message):
        CaptionVocabulary(words)


def test_encode_gives_unk_for_what_is_not_a_word(vocabulary):
    assert vocabulary.encode(["a", "cat", "<END>", "runs"]) == [4, UNK, UNK, 6]


def test_decode_stops_at_end_and_prints_no_special_token(vocabulary):
    assert vocabulary.decode([START, 4, UNK, 5, NULL, 6, END, 4, 4]) == "a dog runs"
    assert vocabulary.decode(np.array([5, 6], np.int32)) == "dog runs"
    assert vocabulary.decode([END, 4]) == ""
    assert vocabulary.decode([]) == ""


@pytest.mark.parametrize("index", [7, -1])
def test_decode_refuses_ids_outside_the_vocabulary(vocabulary, index):
    with pytest.raises(ValueError, match=f"ids below 7, got {index}"):
        vocabulary.decode([4, np.int64(index)])


@given(st.lists(st.sampled_from(["a", "dog", "runs"])))
@settings(max_examples=25, deadline=None)
def test_decode_undoes_encode(words):
    vocabulary = CaptionVocabulary(["a", "dog", "runs"])
    assert vocabulary.decode(vocabulary.encode(words)) == " ".join(words)


def test_encode_captions_shifts_targets_by_one_step(vocabulary):
    inputs, targets = vocabulary.encode_captions(
        ["A dog runs .", "dog", "a cat"], max_words=30
    )
    np.testing.assert_array_equal(
        inputs, [[START, 4, 5, 6], [START, 5, NULL, NULL], [START, 4, UNK, NULL]]
    )
    np.testing.assert_array_equal(
        targets, [[4, 5, 6, END], [5, END, NULL, NULL], [4, UNK, END, NULL]]
    )
    assert inputs.dtype == targets.dtype == np.int32


def test_encode_captions_keeps_the_first_max_words(vocabulary):
    inputs, targets = vocabulary.encode_captions(["a dog runs a dog"], max_words=2)
    assert inputs.tolist() == [[START, 4, 5]]
    assert targets.tolist() == [[4, 5, END]]


def test_encode_captions_of_none(vocabulary):
    inputs, targets = vocabulary.encode_captions([], max_words=5)
    assert inputs.shape == targets.shape == (0, 1)


def test_encode_captions_refuses_captions_without_a_word(vocabulary):
    with pytest.raises(ValueError, match=r"at least one word in each, got ' \.'"):
        vocabulary.encode_captions(["a dog", " ."], max_words=5)
    with pytest.raises(ValueError, match=r"`max_words`, .* got 0"):
        vocabulary.encode_captions(["a dog"], max_words=0)


def test_save_writes_one_token_a_line_in_the_order_of_ids(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocab.txt")
    assert (tmp_path / "vocab.txt").read_bytes() == (
        b"<NULL>\n<START>\n<END>\n<UNK>\na\ndog\nruns\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.txt"]


# Also words with a next-line character and the like, at which str.splitlines splits.
@given(st.lists(st.text(max_size=20), max_size=20))
@settings(max_examples=25, deadline=None)
def test_load_reads_what_save_wrote(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    built = CaptionVocabulary.build(w for text in texts for w in caption_tokens(text))
    built.save(path)
    assert CaptionVocabulary.load(path) == built


def test_a_failed_save_leaves_the_old_file(vocabulary, tmp_path):
    path = tmp_path / "vocab.txt"
    vocabulary.save(path)
    with pytest.raises(UnicodeEncodeError):
        CaptionVocabulary(["\ud800"]).save(path)
    assert CaptionVocabulary.load(path) == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: expected <NULL>, got ''"),
        (b"<NULL>\na\n", "line 2: expected <START>, got 'a'"),
        (b"<NULL>\n<START>\n<END>", "line 4: expected <UNK>, got the end of the file"),
        (b"<NULL>\n<START>\n<END>\n<UNK>\na\n\n", "line 6: expected one word, got ''"),
        (b"<NULL>\n<START>\n<END>\n<UNK>\na b\n", "line 5: expected one word, got 'a b'"),
        (b"<NULL>\n<START>\n<END>\n<UNK>\na\na\n", "line 6: .* once, got 'a' again"),
        (b"<NULL>\n\xff", "expected UTF-8, got byte 0xff at position 7"),
    ],
)
def test_load_refuses_a_bad_file_by_its_line(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"vocab.txt: {message}"):
        CaptionVocabulary.load(path)


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read: No such file"):
        CaptionVocabulary.load(tmp_path / "none.txt")
