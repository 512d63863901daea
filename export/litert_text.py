"""Sentences for a TFLite file: the tokenisation of the graph, in Python and NumPy."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasdl.data.texts.tokens import PADDING, TextVocabulary, Tokenizer
from kerasdl.errors import InputError

VOCABULARY = "vocab.txt"
TOKENIZER = "tokenizer.json"


class SentenceEncoder:
    """Turns text into the token ids that the exported model was trained on.

    Args:
        files: What the TFLite file carries, `vocab.txt` and `tokenizer.json` among it.
        path: The file, for messages.
        length: The number of ids that the model takes, `None` for any.

    Raises:
        InputError: One of the two is missing or damaged.
    """

    def __init__(
        self, files: Mapping[str, str], path: str | Path, length: int | None = None
    ) -> None:
        self._length = length
        try:
            tokenizer, vocabulary = files[TOKENIZER], files[VOCABULARY]
        except KeyError as error:
            raise InputError(
                f"{path}: expected {TOKENIZER} and {VOCABULARY} in its zip: no {error}"
            ) from error
        self.tokenizer = Tokenizer.from_json(tokenizer, f"{path}: {TOKENIZER}")
        self.vocabulary = TextVocabulary.from_bytes(
            vocabulary.encode(), f"{path}: {VOCABULARY}"
        )

    def __call__(self, text: str) -> np.ndarray:
        """The ids of a text.

        Returns:
            int32 (1, T), T at least 1, padded if the model's length is fixed.

        Raises:
            InputError: The text needs a tokenizer that only TensorFlow Text has.
        """
        if self.tokenizer.kind != "whitespace":
            raise InputError(
                f"the model's tokenizer ({self.tokenizer.kind!r}) needs TensorFlow Text: "
                "use the SavedModel, or give the TFLite file token ids."
            )
        parts = self.tokenizer.ids(self.tokenizer(text), self.vocabulary)
        ids = [index for part in parts for index in part]
        encoded = np.array([ids or [PADDING]], np.int32)
        return encoded if self._length is None else pad_ids(encoded, self._length)


def pad_ids(ids: np.ndarray, length: int) -> np.ndarray:
    """Ids (1, T) as (1, length): cut, or padded at the end."""
    ids = ids[:, :length]
    missing = length - ids.shape[1]
    return np.pad(ids, ((0, 0), (0, missing)), constant_values=PADDING)
