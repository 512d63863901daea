"""Captions as the words that models learn and metrics count."""

from __future__ import annotations

import re

SPECIAL_TOKENS = ("<NULL>", "<START>", "<END>", "<UNK>")

# How the Treebank writes brackets: letters, but no word.
_BRACKET = re.compile("-[lr][rcs]b-")


def caption_tokens(text: str) -> list[str]:
    """Splits a caption into lower-case words.

    The words are the Penn Treebank tokens of `ptb_tokens` that hold a letter or a digit,
    so that "cake." is the word "cake", and "dog's" is "dog" and "'s". Vocabulary,
    training and metrics all count these tokens.

    Example:
        >>> caption_tokens("A tri-colored dog's ball, bouncing.")
        ['a', 'tri-colored', 'dog', "'s", 'ball', 'bouncing']
    """
    # Its regular expressions take .2 s to compile, which decoding does without.
    from kerasdl.data.captions.ptb_tokens import ptb_tokens

    tokens = (_BRACKET.sub("", token) for token in ptb_tokens(text))
    # A token such as "1 1/2" holds a no-break space.
    words = (word for token in tokens for word in token.split())
    return [word for word in words if any(character.isalnum() for character in word)]
