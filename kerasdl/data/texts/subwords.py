"""Character n-grams of words, hashed into buckets, as further ids of a sentence.

A word unknown to the vocabulary is then still known by its parts. With c_1 … c_L the code
points of `<word>`, an n-gram's bucket is

    (((c_1 · a + c_2) mod p) · a + c_3 …) mod p mod B

and its id V + bucket, V being the size of the vocabulary. `kerasdl.data.texts.graph` has
the same in TensorFlow.

Reference: Bojanowski et al., Enriching Word Vectors with Subword Information, 2017.
Different from it: another hash, of code points and not of bytes, which a graph can form.
"""

from __future__ import annotations

# A prime below 2^31, so that a product of two numbers stays within int64, and a
# multiplier that spreads neighbouring numbers.
MODULUS = 2_147_483_629
MULTIPLIER = 1_000_003
# Of a longer word the first so many characters have n-grams.
MOST_CHARACTERS = 64


def subword_buckets(word: str, least: int, most: int, buckets: int) -> list[int]:
    """The buckets of a word's n-grams, shorter n-grams first.

    Args:
        word: Without white space.
        least, most: The lengths of n-grams in characters, `<` and `>` counted; those two
            alone are none.
        buckets: B.

    Example:
        >>> len(subword_buckets("food", 3, 4, 1000))  # <fo foo ood od> <foo food ood>
        7
    """
    codes = [ord(c) for c in f"<{word[:MOST_CHARACTERS]}>"]
    found = []
    for n in range(least, most + 1):
        for start in range(len(codes) - n + 1):
            if n == 1 and start in (0, len(codes) - 1):
                continue
            value = 0
            for code in codes[start : start + n]:
                value = (value * MULTIPLIER + code) % MODULUS
            found.append(value % buckets)
    return found
