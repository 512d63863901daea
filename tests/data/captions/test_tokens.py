import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.captions.tokens import SPECIAL_TOKENS, caption_tokens


def test_words_of_scripts_with_vowel_signs_and_joiners_stay_whole():
    assert caption_tokens("एक कुत्ता दौड़ता है।") == ["एक", "कुत्ता", "दौड़ता", "है"]
    assert caption_tokens("سگ می\u200cدود.") == ["سگ", "می\u200cدود"]
    assert caption_tokens("สุนัขวิ่ง") == ["สุนัขวิ่ง"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A dog , running .", ["a", "dog", "running"]),
        ("tri-colored DOG's tail.", ["tri-colored", "dog", "'s", "tail"]),
        ("\t two\nlines \u00a0 2 x", ["two", "lines", "2", "x"]),
        ("Ünïcode 犬 — \"quoted\" ''", ["ünïcode", "犬", "quoted"]),
        ("& ... - !", []),
        (
            "A man eats cake, on a bench.",
            ["a", "man", "eats", "cake", "on", "a", "bench"],
        ),
        ("(left) [a] w/ 1 1/2 :)", ["left", "a", "w", "1", "1/2"]),
        ("", []),
    ],
)
def test_caption_tokens(text, tokens):
    assert caption_tokens(text) == tokens


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_tokens_joined_again_are_the_same_tokens(text):
    tokens = caption_tokens(text)
    assert caption_tokens(" ".join(tokens)) == tokens
    assert not set(tokens) & set(SPECIAL_TOKENS)
