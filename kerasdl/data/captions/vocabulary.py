"""The words that a captioner can say, and captions as ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kerasdl.data.captions.tokens import SPECIAL_TOKENS, caption_tokens
from kerasdl.data.vocabulary import Vocabulary

NULL, START, END, UNK = 0, 1, 2, 3


class CaptionVocabulary(Vocabulary):
    """The words that a captioner can say, each with an id.

    Ids 0 to 3 are `<NULL>`, `<START>`, `<END>` and `<UNK>`; the words follow.

    Example:
        >>> vocabulary = CaptionVocabulary(["a", "dog"])
        >>> vocabulary.encode(["a", "cat"])
        [4, 3]
        >>> vocabulary.decode([1, 4, 5, 2, 0])
        'a dog'
    """

    special_tokens = SPECIAL_TOKENS

    def decode(self, ids: Iterable[int]) -> str:
        """The words of a caption, up to `END`, special tokens left out.

        Args:
            ids: Token ids, (T,), of any integer type.

        Raises:
            ValueError: An id is outside the vocabulary.
        """
        words = []
        for index in ids:
            if not 0 <= index < len(self):
                raise ValueError(
                    "Received an invalid value for argument `ids`, expected ids below "
                    f"{len(self)}, got {int(index)}."
                )
            if index == END:
                break
            if index > UNK:
                words.append(self.words[index - len(SPECIAL_TOKENS)])
        return " ".join(words)

    def encode_captions(
        self, captions: Sequence[str], max_words: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets for teacher forcing.

        A caption w_1 … w_n is read as `<START>` w_1 … w_n and predicted as w_1 … w_n
        `<END>`, so a target stands at the position of the input that precedes it. Both
        are padded with `NULL` at the end. Of a caption longer than `max_words`, the first
        `max_words` words are kept.

        Args:
            captions: N captions, as written.
            max_words: The longest caption kept whole, in words.

        Returns:
            Inputs and targets, both (N, T) int32, T being 1 + the number of words of the
            longest caption kept.

        Raises:
            ValueError: `max_words` is below 1, or a caption holds no word.
        """
        if max_words < 1:
            raise ValueError(
                "Received an invalid value for argument `max_words`, expected a "
                f"positive integer, got {max_words}."
            )
        encoded = []
        for caption in captions:
            ids = self.encode(caption_tokens(caption)[:max_words])
            if not ids:
                raise ValueError(
                    "Received an invalid value for argument `captions`, expected at "
                    f"least one word in each, got {caption!r}."
                )
            encoded.append(ids)
        steps = 1 + max((len(ids) for ids in encoded), default=0)
        inputs = np.full((len(encoded), steps), NULL, np.int32)
        targets = np.full((len(encoded), steps), NULL, np.int32)
        for row, ids in enumerate(encoded):
            inputs[row, 0] = START
            inputs[row, 1 : 1 + len(ids)] = ids
            targets[row, : len(ids)] = ids
            targets[row, len(ids)] = END
        return inputs, targets
