import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasdl.data.captions.ptb_tokens import ptb_tokens

HERE = Path(__file__).parent
SHARED = HERE.parents[3] / "shared" / "data"
FIXTURE = [
    json.loads(line)
    for line in (HERE / "ptb_tokens.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_every_line_of_the_fixture_is_the_java_programs():
    assert len(FIXTURE) > 150
    ours = [[line, ptb_tokens(line)] for line, _ in FIXTURE]
    assert ours == FIXTURE


@pytest.mark.needs_data
def test_flickr8k_captions_are_the_java_programs():
    path = SHARED / "flickr8k" / "Flickr8k.token.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    lines = path.read_text(encoding="utf-8").splitlines()
    tokens = [ptb_tokens(line.split("\t")[1]) for line in lines]
    text = "".join(" ".join(one) + "\n" for one in tokens)
    # The digest of what CoreNLP 3.4.1 wrote for the same 4,500 lines.
    assert hashlib.sha256(text.encode()).hexdigest() == JAVA_FLICKR8K


@given(st.text())
def test_any_text_ends_and_loses_no_letter(text):
    tokens = ptb_tokens(text)
    assert all(token and token == token.lower() for token in tokens)
    assert not any(" " in token for token in tokens)
    ascii_letters = [c for c in text.lower() if "a" <= c <= "z"]
    if "&" not in text and text.isascii() and not set("()[]{}") & set(text):
        assert [c for t in tokens for c in t if "a" <= c <= "z"] == ascii_letters


JAVA_FLICKR8K = "812737ad54eb0f91f8adcaf2b9766da46a7094e8a945d8b43c56f9c07b6880eb"
