import numpy as np
import pytest

from kerasdl.data.drawn.scene_content import COLOURS, SHAPES
from kerasdl.data.drawn.shapes import drawn_shapes, shown_colours
from kerasdl.data.pictures.decoding import decode_picture


def test_it_is_a_function_of_the_seed():
    few, more = drawn_shapes(3, 6, 2, 0), drawn_shapes(3, 12, 2, 2)
    assert few.class_names == SHAPES
    assert few.train == more.train[:6] and few.val == more.val and few.test == []
    assert drawn_shapes(4, 1, 0, 0).train[0].data != few.train[0].data
    assert len({p.data for p in (*more.train, *more.val, *more.test)}) == 16


def test_classes_are_balanced_and_pictures_are_whole():
    dataset = drawn_shapes(0, 24, 0, 0, side=48)
    assert np.bincount([p.label for p in dataset.train]).tolist() == [4] * 6
    for picture in dataset.train[:6]:
        image = decode_picture(picture.data, picture.name)
        assert image.shape == (48, 48, 3) and image.std() > 5
        assert SHAPES[picture.label] in picture.name


def test_training_lacks_a_colour_of_each_shape():
    for shape in SHAPES:
        assert len(shown_colours("train", shape)) == len(COLOURS) - 1
        assert set(shown_colours("train", shape)) < set(shown_colours("val", shape))
        assert shown_colours("val", shape) == shown_colours("test", shape) == COLOURS


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match=r"argument `val`.*got -1"):
        drawn_shapes(0, 1, -1, 0)
