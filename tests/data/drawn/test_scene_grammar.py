"""Captions are read back by expressions written apart from the grammar."""

import itertools
import re

import pytest

from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.drawn import scene_content
from kerasdl.data.drawn.scene_grammar import CAPTIONS_PER_PICTURE, WORDINGS, captions_of
from kerasdl.metrics.captions import coco_scores

NOUN = (
    r"(an?) ?(small|little|large|big)? "
    r"(red|orange|yellow|green|blue|purple|black) "
    r"(circle|square|triangle|star|heart|cross)\b"
)
SIZES = {"small": "small", "little": "small", "large": "large", "big": "large"}


@pytest.fixture(scope="module")
def drawn():
    return [
        scene_content.scene(0, split, index)
        for split in ("train", "test")
        for index in range(300)
    ]


def shape(size, colour, name):
    return scene_content.SceneObject(name, colour, size, 0.5, 0.5, 0.3, 0.0)


def scene_with(arrangement, *shapes, place=""):
    return scene_content.Scene(arrangement, shapes, place, "mist", "down")


def test_single():
    scene = scene_with("single", shape("small", "red", "star"), place="top")
    assert captions_of(scene) == (
        "a small red star is at the top of the picture",
        "there is a little red star at the top",
        "the picture shows a small red star at the top by itself",
        "at the top is a little red star",
        "a small red star at the top and nothing else",
    )


def test_row_of_two():
    scene = scene_with(
        "row", shape("large", "blue", "heart"), shape("medium", "orange", "cross")
    )
    assert captions_of(scene) == (
        "a large blue heart is to the left of an orange cross",
        "there is an orange cross to the right of a big blue heart",
        "the picture shows a large blue heart beside an orange cross which is on the "
        "right",
        "on the left is a big blue heart and on the right is an orange cross",
        "a large blue heart on the left and an orange cross on the right",
    )


def test_column_of_two():
    scene = scene_with(
        "column", shape("medium", "black", "circle"), shape("small", "red", "square")
    )
    assert captions_of(scene) == (
        "a black circle is above a small red square",
        "there is a little red square below a black circle",
        "the picture shows a black circle over a small red square which is underneath",
        "at the top is a black circle and at the bottom is a little red square",
        "a black circle at the top and a small red square at the bottom",
    )


def test_every_caption_names_every_shape_as_it_is(drawn):
    for scene in drawn:
        expected = sorted((o.size, o.colour, o.shape) for o in scene.objects)
        for caption in captions_of(scene):
            found = re.findall(NOUN, caption)
            read = sorted((SIZES.get(size, "medium"), c, s) for _, size, c, s in found)
            assert read == expected, caption


def test_articles_go_with_the_sound_of_the_next_word(drawn):
    for scene in drawn:
        for caption in captions_of(scene):
            for article, word in re.findall(r"\b(an?) (\w)", caption):
                assert (article == "an") == (word in "aeiou"), caption


RELATIONS = {
    "row": [
        (rf"{NOUN} is to the left of {NOUN}", "before after"),
        (rf"there is {NOUN} to the right of {NOUN}", "after before"),
        (rf"on the left is {NOUN} and on the right is {NOUN}", "before after"),
    ],
    "column": [
        (rf"{NOUN} is above {NOUN}", "before after"),
        (rf"there is {NOUN} below {NOUN}", "after before"),
        (rf"at the top is {NOUN} and at the bottom is {NOUN}", "before after"),
    ],
}


def test_relations_of_two_are_those_of_the_picture(drawn):
    checked = 0
    for scene in drawn:
        if len(scene.objects) != 2:
            continue
        by_axis = sorted(
            scene.objects, key=lambda o: o.x if scene.arrangement == "row" else o.y
        )
        before, after = (o.pair for o in by_axis)
        nouns = {"before": before, "after": after}
        captions = captions_of(scene)
        for pattern, order in RELATIONS[scene.arrangement]:
            (match,) = filter(None, (re.fullmatch(pattern, c) for c in captions))
            first, second = order.split()
            assert match.group(3, 4) == nouns[first]
            assert match.group(7, 8) == nouns[second]
            checked += 1
    assert checked > 500


def test_five_different_wordings_begin_or_go_on_differently(drawn):
    for wordings in WORDINGS.values():
        assert len(wordings) == CAPTIONS_PER_PICTURE == len(set(wordings))
    for scene in drawn:
        assert len(set(captions_of(scene))) == CAPTIONS_PER_PICTURE


def test_captions_are_lower_case_words_between_single_spaces(drawn):
    for scene in drawn:
        for caption in captions_of(scene):
            assert re.fullmatch(r"[a-z]+( [a-z]+)*", caption)
            assert " ".join(caption_tokens(caption)) == caption


def test_a_few_dozen_words(drawn):
    vocabulary = CaptionVocabulary.build(
        word
        for scene in drawn
        for caption in captions_of(scene)
        for word in caption_tokens(caption)
    )
    assert 40 <= len(vocabulary) - 4 <= 60
    assert max(len(c.split()) for scene in drawn for c in captions_of(scene)) <= 30


def test_a_wording_learnt_by_heart_scores_one(drawn):
    """Nothing but the picture settles a caption, so BLEU of 1 can be reached."""
    references = [captions_of(scene) for scene in drawn[::10]]
    for number in range(CAPTIONS_PER_PICTURE):
        scores = coco_scores([captions[number] for captions in references], references)
        assert scores["bleu4"] == pytest.approx(1.0, abs=1e-6)


def test_different_pictures_of_shapes_have_no_caption_in_common(drawn):
    """A caption tells shapes, colours, sizes and their order."""
    said = {}
    for scene in drawn:
        content = (
            scene.arrangement,
            scene.place,
            tuple((o.size, o.colour, o.shape) for o in scene.objects),
        )
        for caption in captions_of(scene):
            assert said.setdefault(caption, content) == content


def test_all_arrangements_occur(drawn):
    seen = {(scene.arrangement, len(scene.objects)) for scene in drawn}
    assert seen == set(WORDINGS)
    places = {scene.place for scene in drawn if scene.place}
    assert places == set(scene_content.PLACES)
    assert {(o.size, o.shape) for scene in drawn for o in scene.objects} == set(
        itertools.product(scene_content.SIZES, scene_content.SHAPES)
    )
