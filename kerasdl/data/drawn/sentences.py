"""Review sentences from a small grammar: the built-in text data set.

What a sentence says is not the sum of its words: negation turns an opinion round, of two
clauses joined by "but" the second counts, of two joined by "although" or "despite" the
main one. Every adjective has its share of both labels, so a bag of words is near chance
on much of it. In validation and test, aspects and opinions meet that never meet in
training.

With several labels each, a sentence has the topics of its clauses, and whether one of
them complains.
"""

from __future__ import annotations

import numpy as np

from kerasdl.data.texts.dataset import LabelledTexts, TextDataset

LABEL_NAMES = ("negative", "positive")
MULTI_LABEL_NAMES = ("complaint", "food", "place", "service")

_ASPECTS = (
    "food", "service", "staff", "pizza", "coffee", "room", "music", "location", "bread",
    "waiter", "menu", "dessert", "soup", "beer", "kitchen", "garden", "breakfast", "bar",
)  # fmt: skip
_PLACES = ("room", "music", "location", "garden", "bar")
_SERVICES = ("service", "staff", "waiter", "kitchen")
_POSITIVE = (
    "good", "great", "lovely", "fresh", "friendly", "excellent", "tasty", "clean",
    "charming", "pleasant", "superb", "fine",
)  # fmt: skip
_NEGATIVE = (
    "bad", "awful", "stale", "rude", "dirty", "bland", "slow", "terrible", "noisy",
    "boring", "overpriced", "mediocre",
)  # fmt: skip
_DEGREES = ("", "very", "really", "so", "quite", "truly")
_TIMES = ("", "today", "last night", "as always", "this time", "again")
# Frames with a negation of the adjective ("{d}" the degree, "{a}" the adjective).
_NEGATED = (
    "was not {d} {a}",
    "was never {d} {a}",
    "was n't {d} {a} at all",
    "was far from {a}",
    "was anything but {a}",
    "could not be called {a}",
)
_PLAIN = (
    "was {d} {a}",
    "is {d} {a}",
    "was {d} {a} , no doubt",
    "turned out {d} {a}",
    "seemed {d} {a} to us",
    "was {d} {a} , not once a letdown",
)
# The main clause decides; the other has the other opinion.
_CONTRASTS = (
    "{other} but {main}",
    "{other} , yet {main}",
    "some say {other} , but {main}",
    "although {other} , {main}",
    "{main} , although {other}",
    "{main} , even if {other}",
)
# Of an aspect and an adjective, those whose numbers add up to 0 modulo this meet in
# validation and test alone.
_HELD_OUT_MODULUS = 7
# How many clauses negate their adjective, and how many sentences have one clause.
NEGATED_SHARE = 0.35
SIMPLE_SHARE = 0.4


def generated_sentences(
    seed: int, *, train: int, val: int, test: int, multi_label: bool = False
) -> TextDataset:
    """Draws the data set; the same seed and sizes give the same sentences.

    No sentence of one split stands in another.

    Args:
        seed: Of the draws.
        train, val, test: Sentences of each split.
        multi_label: Whether a sentence has labels of `MULTI_LABEL_NAMES`.
    """
    seen: set[str] = set()
    splits = {}
    for number, (name, count) in enumerate(
        (("train", train), ("val", val), ("test", test))
    ):
        random = np.random.default_rng([seed, number])
        texts: list[str] = []
        labels: list[int] | list[list[int]] = []
        while len(texts) < count:
            text, label, all_labels = _sentence(random, held_out=name != "train")
            if text not in seen:
                seen.add(text)
                texts.append(text)
                labels.append(all_labels if multi_label else label)
        shape = (len(texts), len(MULTI_LABEL_NAMES)) if multi_label else (len(texts),)
        splits[name] = LabelledTexts(texts, np.array(labels, np.int32).reshape(shape))
    names = MULTI_LABEL_NAMES if multi_label else LABEL_NAMES
    return TextDataset(**splits, label_names=names)


def _choose(random: np.random.Generator, items: tuple[str, ...]) -> str:
    return items[random.integers(len(items))]


def _clause(
    random: np.random.Generator, positive: bool, held_out: bool
) -> tuple[str, str]:
    """A clause whose opinion is positive or negative, and its topic.

    Held-out clauses pair an aspect with an adjective that training never pairs it with.
    """
    negated = random.random() < NEGATED_SHARE
    adjectives = _POSITIVE if positive != negated else _NEGATIVE
    while True:
        aspect = random.integers(len(_ASPECTS))
        adjective = random.integers(len(adjectives))
        if ((aspect + adjective) % _HELD_OUT_MODULUS == 0) == held_out:
            break
    frame = _choose(random, _NEGATED if negated else _PLAIN)
    opinion = frame.format(d=_choose(random, _DEGREES), a=adjectives[adjective])
    name = _ASPECTS[aspect]
    topic = "place" if name in _PLACES else "service" if name in _SERVICES else "food"
    return f"the {name} {opinion}", topic


def _sentence(random: np.random.Generator, held_out: bool) -> tuple[str, int, list[int]]:
    """A sentence, its one label, and 0 or 1 for each of several."""
    label = int(random.integers(2))
    main, topic = _clause(random, bool(label), held_out)
    kind = random.random()
    found = {topic} | ({"complaint"} if not label else set())
    if kind < SIMPLE_SHARE:
        text = main
    else:
        other, topic = _clause(random, not label, held_out)
        text = _choose(random, _CONTRASTS).format(main=main, other=other)
        found |= {topic, "complaint"}  # one of the two clauses complains
    text = " ".join(f"{text} {_choose(random, _TIMES)} .".split())
    return text, label, [int(name in found) for name in MULTI_LABEL_NAMES]
