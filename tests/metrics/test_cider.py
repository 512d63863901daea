import numpy as np
import pytest

from kerasdl.metrics import CiderD, coco_scores, picture_scores

REFERENCES = [
    [
        "a dog runs on the grass",
        "a brown dog is running over green grass",
        "dog on grass",
    ],
    ["two men sit on a bench", "men on a bench in the park"],
    ["a child jumps into the water", "the water splashes as a child jumps in"],
]
CAPTIONS = ["a dog runs over the green grass", "two dogs on a bench", "the the the child"]


def test_it_is_pycocoevalcaps():
    cider = CiderD([[r.split() for r in captions] for captions in REFERENCES])
    ours = [cider.score(caption.split(), n) for n, caption in enumerate(CAPTIONS)]
    np.testing.assert_allclose(ours, picture_scores(CAPTIONS, REFERENCES)["cider"])
    assert np.mean(ours) == pytest.approx(coco_scores(CAPTIONS, REFERENCES)["cider"])
    assert min(ours[:2]) > 0.1


def test_random_captions_are_pycocoevalcaps():
    draw = np.random.default_rng(0)

    def caption():
        return " ".join(draw.choice(list("abcdef"), draw.integers(1, 12)))

    references = [[caption() for _ in range(draw.integers(1, 5))] for _ in range(20)]
    captions = [caption() for _ in references]
    cider = CiderD([[r.split() for r in several] for several in references])
    ours = [cider.score(one.split(), n) for n, one in enumerate(captions)]
    np.testing.assert_allclose(
        ours, picture_scores(captions, references)["cider"], atol=1e-12
    )


def test_ids_score_as_words_do():
    words = sorted(
        {word for captions in REFERENCES for r in captions for word in r.split()}
    )
    by_word = CiderD([[r.split() for r in captions] for captions in REFERENCES])
    by_id = CiderD([[list(map(words.index, r.split())) for r in c] for c in REFERENCES])
    assert by_id.score([words.index("dog")], 0) == by_word.score(["dog"], 0) > 0


def test_an_empty_caption_scores_zero():
    assert CiderD([[["a", "dog"]], [["a", "cat"]]]).score([], 0) == 0.0
