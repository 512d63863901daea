"""Scores against values computed by hand from the definitions."""

import math

import pytest

from kerasdl.metrics.captions import (
    bleu1_single,
    coco_scores,
    picture_scores,
    scored_tokens,
)

REFERENCES = [["a red circle is above a blue square"], ["there is a small green star"]]


def test_special_tokens_do_not_count():
    caption = "<START> A dog , <UNK> runs . <END> <NULL>"
    assert scored_tokens(caption) == ["a", "dog", "runs"]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "score"),
    [
        ("a dog runs", "a dog runs", 1.0),
        ("A DOG , runs .", "a dog runs", 1.0),
        # 2 of 3 words match, as long as the reference: no brevity penalty.
        ("a cat runs", "a dog runs", 2 / 3),
        # All match, c = 3 and r = 5: exp(1 - 5/3).
        ("a dog runs", "a dog runs very fast", math.exp(1 - 5 / 3)),
        # Clipped: "a" counts once of four times. Longer than the reference: no penalty.
        ("a a a a", "a dog", 1 / 4),
        # 1 of 2 matches, c = 2 and r = 4: exp(1 - 4/2) / 2.
        ("dog cat", "the dog runs fast", math.exp(-1) / 2),
        ("cat", "a dog", 0.0),
        ("", "a dog", 0.0),
        ("<START> <END> .", "a dog", 0.0),
    ],
)
def test_bleu1_single_by_hand(hypothesis, reference, score):
    assert bleu1_single([hypothesis], [[reference]]) == pytest.approx(score, abs=1e-12)


def test_bleu1_single_is_the_mean_over_pictures_of_the_first_reference():
    hypotheses = ["a dog runs", "a cat"]
    references = [["a dog runs", "x"], ["no match here", "a cat"]]
    assert bleu1_single(hypotheses, references) == pytest.approx(0.5)


def test_copies_of_a_reference_score_one():
    scores = coco_scores([captions[0] for captions in REFERENCES], REFERENCES)
    assert set(scores) == {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider"}
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"):
        assert scores[name] == pytest.approx(1.0, abs=1e-6)
    assert scores["cider"] == pytest.approx(10.0, abs=1e-6)


def test_bleu_is_of_the_corpus_and_clips_by_the_best_reference():
    # Picture 1: 6 tokens, "the" clipped to 2 by the first reference -> 1-grams "the" 2,
    # "cat" 1 of 6; bigrams the-the 0, the-cat 1 of 5. Picture 2: "a dog" is in its
    # second reference: 2 of 2, 1 of 1. Closest lengths: 6 for 6 and 2 for 2.
    hypotheses = ["the the the the the cat", "a dog"]
    references = [
        ["the cat on the mat sits", "one"],
        ["some animal running away", "a dog"],
    ]
    scores = coco_scores(hypotheses, references)
    assert scores["bleu1"] == pytest.approx(5 / 8, abs=1e-6)
    assert scores["bleu2"] == pytest.approx(math.sqrt(5 / 8 * 2 / 6), abs=1e-6)


def test_bleu_brevity_penalty_takes_the_closest_reference():
    # c = 3; references of 5 and 9 tokens: r = 5, so exp(1 - 5/3); all n-grams match.
    references = [["a dog runs very fast", "a dog runs so very fast over the hill"]]
    scores = coco_scores(["a dog runs"], references)
    assert scores["bleu1"] == pytest.approx(math.exp(1 - 5 / 3), abs=1e-6)
    assert scores["bleu2"] == pytest.approx(math.exp(1 - 5 / 3), abs=1e-6)


def test_bleu4_by_hand():
    # "a b c d x": 1-grams 4/5, 2-grams 3/4, 3-grams 2/3, 4-grams 1/2; c = r = 5.
    scores = coco_scores(["a b c d x"], [["a b c d e"]])
    product = 4 / 5 * 3 / 4 * 2 / 3 * 1 / 2
    assert scores["bleu4"] == pytest.approx(product**0.25, abs=1e-6)


def test_rouge_l_by_hand():
    # Longest common subsequence "a dog fast" = 3: precision 3/4, recall 3/5, beta 1.2.
    scores = coco_scores(["a dog is fast"], [["a dog runs very fast"]])
    precision, recall, beta2 = 3 / 4, 3 / 5, 1.2**2
    expected = (1 + beta2) * precision * recall / (recall + beta2 * precision)
    assert scores["rouge_l"] == pytest.approx(expected, abs=1e-9)


def test_cider_by_hand():
    # One-word captions, so only 1-grams count. Two pictures: a word of one picture has
    # idf log 2. Picture 1 is right: cosine 1, a quarter of the four orders, times 10.
    # Picture 2 says a word of no reference: 0.
    scores = coco_scores(["dog", "tree"], [["dog"], ["cat"]])
    assert scores["cider"] == pytest.approx(10 * (1 / 4 + 0) / 2, abs=1e-9)


def test_cider_of_one_picture_is_zero():
    assert coco_scores(["a dog"], [["a dog"]])["cider"] == 0.0


def test_tokens_are_those_of_bleu1_single():
    plain = coco_scores(["a dog runs"], [["a dog runs"]])
    marked = coco_scores(["<START> A dog , RUNS . <END>"], [["a dog -- runs !"]])
    assert marked == plain


def test_empty_hypotheses_score_zero():
    scores = coco_scores(["", "."], REFERENCES)
    assert all(score == pytest.approx(0.0, abs=1e-6) for score in scores.values())


def test_references_without_a_word_are_left_out():
    with_empty = coco_scores(["", "a dog"], [["a cat", " . "], ["a dog", ""]])
    without = coco_scores(["", "a dog"], [["a cat"], ["a dog"]])
    assert with_empty == without
    assert with_empty["rouge_l"] == pytest.approx(0.5)


def test_prints_nothing(capsys):
    coco_scores(["a dog"], [["a dog"]])
    bleu1_single(["a dog"], [["a dog"]])
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("score", [bleu1_single, coco_scores])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], [], "`references`, expected those of 1 pictures, .*, got 0"),
        ([], [], "`hypotheses`, expected at least one caption, got none"),
        (["a"], [[]], r"a caption with a word for each picture, got \[\] for picture 0"),
        (["a", "a"], [["a"], ["."]], r"got \['.'\] for picture 1"),
        (["a"], ["a dog"], "a list of captions for each picture, got the string 'a dog'"),
    ],
)
def test_refuses_what_cannot_be_scored(score, hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references)


def test_scores_of_pictures_are_the_parts_of_the_whole():
    hypotheses = ["a red circle is above a square", "a small blue star"]
    pictures, whole = (
        picture_scores(hypotheses, REFERENCES),
        coco_scores(hypotheses, REFERENCES),
    )
    assert set(pictures) == set(whole)
    for name in ("rouge_l", "cider"):
        assert pictures[name].mean() == pytest.approx(whole[name])
    alone = coco_scores(hypotheses[:1], REFERENCES[:1])
    assert pictures["bleu4"][0] == pytest.approx(alone["bleu4"], abs=1e-6)
