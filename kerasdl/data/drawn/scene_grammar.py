"""Captions of a drawn scene: five wordings from a small grammar.

    caption  ->  wording of the arrangement, with one noun phrase a shape
    noun     ->  article [size] colour shape

The wordings are fixed, and which shape comes first is settled by the picture (the
leftmost, the topmost), so nothing in a caption is left to chance: a model that sees a
picture right and has learnt one wording says it word for word. A medium-sized shape is
mentioned without a size, as people do.
"""

from __future__ import annotations

from kerasdl.data.drawn.scene_content import Scene, SceneObject

CAPTIONS_PER_PICTURE = 5

# The adjectives that a wording takes, by its number.
_LARGE_SMALL = {"large": "large", "medium": "", "small": "small"}
_BIG_LITTLE = {"large": "big", "medium": "", "small": "little"}
ADJECTIVES = (_LARGE_SMALL, _BIG_LITTLE, _LARGE_SMALL, _BIG_LITTLE, _LARGE_SMALL)

PLACE_PHRASES = {
    "middle": "in the middle",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}

# {0}, {1} and {2} are the shapes from left to right or from top to bottom.
WORDINGS = {
    ("single", 1): (
        "{0} is {place} of the picture",
        "there is {0} {place}",
        "the picture shows {0} {place} by itself",
        "{place} is {0}",
        "{0} {place} and nothing else",
    ),
    ("row", 2): (
        "{0} is to the left of {1}",
        "there is {1} to the right of {0}",
        "the picture shows {0} beside {1} which is on the right",
        "on the left is {0} and on the right is {1}",
        "{0} on the left and {1} on the right",
    ),
    ("column", 2): (
        "{0} is above {1}",
        "there is {1} below {0}",
        "the picture shows {0} over {1} which is underneath",
        "at the top is {0} and at the bottom is {1}",
        "{0} at the top and {1} at the bottom",
    ),
    ("row", 3): (
        "{0} is to the left of {1} and {2}",
        "there is {1} between {0} on the left and {2} on the right",
        "the picture shows a row of {0} and {1} and {2}",
        "on the left is {0} and in the middle is {1} and on the right is {2}",
        "{0} on the left and {1} in the middle and {2} on the right",
    ),
    ("column", 3): (
        "{0} is above {1} and {2}",
        "there is {1} between {0} at the top and {2} at the bottom",
        "the picture shows a column of {0} and {1} and {2}",
        "at the top is {0} and in the middle is {1} and at the bottom is {2}",
        "{0} at the top and {1} in the middle and {2} at the bottom",
    ),
}


def captions_of(scene: Scene) -> tuple[str, ...]:
    """The `CAPTIONS_PER_PICTURE` captions of a scene, lower-case, without punctuation."""
    wordings = WORDINGS[scene.arrangement, len(scene.objects)]
    place = PLACE_PHRASES.get(scene.place, "")
    return tuple(
        wording.format(
            *(noun_phrase(shape, adjectives) for shape in scene.objects), place=place
        )
        for wording, adjectives in zip(wordings, ADJECTIVES, strict=True)
    )


def noun_phrase(shape: SceneObject, adjectives: dict[str, str]) -> str:
    """The words for one shape, such as `a little red star` or `an orange heart`.

    Args:
        shape: The shape.
        adjectives: For each size, its adjective, or nothing.
    """
    words = f"{adjectives[shape.size]} {shape.colour} {shape.shape}".split()
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])
