import hashlib
import io
import itertools
import math

import numpy as np
import pytest
from PIL import Image

from kerasdl.data.drawn import scene_content, scene_drawing, scenes
from kerasdl.data.drawn.scene_grammar import captions_of

MANY = 1200
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def drawn():
    return {
        split: [scene_content.scene(3, split, index) for index in range(MANY)]
        for split in SPLITS
    }


@pytest.fixture(scope="module")
def everything(drawn):
    return [scene for split in SPLITS for scene in drawn[split]]


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.bytes())))


def test_pairs_held_out_are_not_in_training_and_stay_with_their_split(drawn):
    val, test = scene_content.HELD_OUT["val"], scene_content.HELD_OUT["test"]
    assert val
    assert test
    assert not val & test
    shown = {
        split: {shape.pair for scene in drawn[split] for shape in scene.objects}
        for split in SPLITS
    }
    every = set(itertools.product(scene_content.COLOURS, scene_content.SHAPES))
    assert shown["train"] == every - val - test
    assert shown["val"] == every - test
    assert shown["test"] == every - val


def test_the_module_says_what_is_held_out():
    assert ("blue", "star") in scene_content.HELD_OUT["test"]
    for seen in [("blue", "heart"), ("red", "star")]:
        assert not any(seen in held_out for held_out in scene_content.HELD_OUT.values())


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_share_of_pictures_with_a_held_out_pair(drawn, split):
    count = sum(
        any(shape.pair in scene_content.HELD_OUT[split] for shape in scene.objects)
        for scene in drawn[split]
    )
    # Four standard deviations of a binomial.
    share = scene_content.HELD_OUT_SHARE
    assert abs(count - MANY * share) < 4 * math.sqrt(MANY * share * (1 - share))


def test_no_picture_shows_the_same_colour_and_shape_twice(everything):
    for scene in everything:
        assert len({shape.pair for shape in scene.objects}) == len(scene.objects)


def test_arrangement_goes_with_the_number_of_shapes(everything):
    for scene in everything:
        assert (scene.arrangement == "single") == (len(scene.objects) == 1)
        assert bool(scene.place) == (len(scene.objects) == 1)
    for count, share in scene_content.SHARE_OF_COUNTS.items():
        seen = sum(len(scene.objects) == count for scene in everything)
        total = len(everything)
        assert abs(seen - total * share) < 4 * math.sqrt(total * share * (1 - share))


def test_relations_hold_with_a_margin(everything):
    """Neighbours are clear of each other, and nearly level (or plumb)."""
    for scene in everything:
        for before, after in zip(scene.objects, scene.objects[1:], strict=False):
            along, off = after.x - before.x, after.y - before.y
            if scene.arrangement == "column":
                along, off = off, along
            reach = (before.diameter + after.diameter) / 2
            assert along >= reach + scene_content.GAP - 1e-9
            assert abs(off) <= 2 * scene_content.SWAY + 1e-9


def test_shapes_are_inside_the_picture(everything):
    for scene in everything:
        for shape in scene.objects:
            for centre in (shape.x, shape.y):
                assert shape.diameter / 2 <= centre + 1e-9
                assert shape.diameter / 2 <= 1 - centre + 1e-9


def test_single_shapes_are_nearest_to_their_place(everything):
    for scene in everything:
        if scene.arrangement == "single":
            (shape,) = scene.objects
            nearest = min(
                scene_content.PLACES,
                key=lambda p: math.dist(scene_content.PLACES[p], (shape.x, shape.y)),
            )
            assert nearest == scene.place


def test_sizes_have_gaps_between_them(everything):
    diameters = {size: [] for size in scene_content.SIZES}
    for scene in everything:
        for shape in scene.objects:
            diameters[shape.size].append(shape.diameter)
    small, medium, large = (diameters[size] for size in scene_content.SIZES)
    assert min(medium) > 1.3 * max(small)
    assert min(large) > 1.3 * max(medium)


def test_the_same_seed_gives_the_same_bytes():
    first = scenes.drawn_scenes(11, train=4, val=2, test=2)
    assert first == scenes.drawn_scenes(11, train=4, val=2, test=2)


def test_another_seed_or_split_gives_other_scenes():
    ours = [scene_content.scene(0, "train", index) for index in range(20)]
    assert ours != [scene_content.scene(1, "train", index) for index in range(20)]
    assert ours != [scene_content.scene(0, "test", index) for index in range(20)]


def test_a_longer_split_begins_with_the_shorter_one():
    short = scenes.drawn_scenes(0, train=3, val=0, test=1)
    longer = scenes.drawn_scenes(0, train=5, val=2, test=1)
    assert longer.train[:3] == short.train
    assert longer.test == short.test


def test_seed_0_draws_what_it_always_drew():
    """Figures in the documentation hang on these very pictures."""
    scene = scene_content.scene(0, "train", 0)
    assert [(o.size, o.colour, o.shape) for o in scene.objects] == [
        ("large", "yellow", "cross"),
        ("small", "orange", "star"),
    ]
    assert (scene.arrangement, scene.background) == ("column", "mist")
    digest = hashlib.sha256()
    for split in SPLITS:
        for index in range(50):
            scene = scene_content.scene(0, split, index)
            digest.update(repr(scene).encode())
            digest.update("\n".join(captions_of(scene)).encode())
    assert digest.hexdigest()[:16] == "50364e5302d2cc40"


def test_seed_0_paints_what_it_always_painted():
    picture = scenes.drawn_scenes(0, train=1, val=0, test=0).train[0]
    means = pixels(picture).reshape(4, 40, 4, 40, 3).mean((1, 3, 4))
    # Half a grey level is left to the cosine of the platform and to Pillow.
    expected = [
        [244.30, 225.66, 225.62, 225.70],
        [244.03, 180.35, 195.36, 225.70],
        [244.30, 227.10, 228.31, 225.70],
        [244.30, 224.39, 220.62, 225.70],
    ]
    np.testing.assert_allclose(means, expected, atol=0.5)


def test_pictures_are_named_png_in_memory_with_five_captions():
    dataset = scenes.drawn_scenes(0, train=2, val=1, test=1, side=48)
    names = [picture.name for picture in dataset.train + dataset.val + dataset.test]
    assert names == [
        "train/00000.png",
        "train/00001.png",
        "val/00000.png",
        "test/00000.png",
    ]
    for picture in dataset.train:
        assert len(set(picture.captions)) == 5
        assert pixels(picture).shape == (48, 48, 3)
        assert picture.path == ""
    assert dataset.notes == ()


def scene_of(shape, colour="red", diameter=0.5, angle=0.0):
    return scene_content.Scene(
        arrangement="single",
        objects=(
            scene_content.SceneObject(shape, colour, "large", 0.5, 0.5, diameter, angle),
        ),
        place="middle",
        background="mist",
        gradient="down",
    )


@pytest.mark.parametrize("colour", scene_content.COLOURS)
def test_shapes_have_their_colour(colour):
    image = np.asarray(scene_drawing.draw(scene_of("square", colour), 128))
    middle = image[60:68, 60:68].reshape(-1, 3).mean(0)
    distances = {
        name: np.abs(np.mean(paint, axis=0) - middle).sum()
        for name, paint in scene_drawing.PAINTS.items()
    }
    assert min(distances, key=distances.get) == colour


# Of a circle round the shape of diameter 1: its area, from the outline's geometry.
AREAS = {
    "circle": math.pi * 0.46**2,
    "square": 0.56**2 * 2,
    "triangle": 0.55**2 * 3 * math.sqrt(3) / 4,
    "star": 10 * 0.5 * 0.53 * 0.23 * math.sin(math.pi / 5),
    "cross": (4 * 0.95 * 0.34 * 2 - 4 * 0.34**2) / 4,
}


@pytest.mark.parametrize("shape", AREAS)
@pytest.mark.parametrize("angle", [0.0, 10.0])
def test_shapes_cover_their_area(shape, angle):
    """Compares the pixels that differ in colour from the ground with the geometry."""
    side, diameter = 200, 0.6
    image = np.asarray(scene_drawing.draw(scene_of(shape, "red", diameter, angle), side))
    redness = image[..., 0].astype(int) - image[..., 1]
    area = (redness > 60).sum() / (diameter * side) ** 2
    assert area == pytest.approx(AREAS[shape], rel=0.04)


def test_edges_are_smooth():
    """The border of a shape has pixels between its colour and the ground's."""
    image = np.asarray(scene_drawing.draw(scene_of("circle", "black"), 96)).astype(int)
    between = (image[..., 0] > 60) & (image[..., 0] < 180)
    # Round the circle of 44 pixels across, most crossings of a row or column have one.
    assert between.sum() > 44


def test_shapes_do_not_reach_beyond_their_circle():
    for name, outline in scene_drawing.OUTLINES.items():
        radius = max(math.hypot(x, y) for x, y in outline)
        assert radius <= 1.25, name
        assert radius >= 0.85, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": -1}, "`train`, expected a non-negative integer, got -1"),
        ({"test": -2}, "`test`, expected a non-negative integer, got -2"),
        ({"train": 1, "side": 31}, "`side`, expected at least 32 pixels, got 31"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, message):
    counts = {"train": 0, "val": 0, "test": 0} | arguments
    with pytest.raises(ValueError, match=message):
        scenes.drawn_scenes(0, **counts)


def test_refuses_an_unknown_split():
    with pytest.raises(ValueError, match="one of train, val, test, got 'dev'"):
        scene_content.scene(0, "dev", 0)
