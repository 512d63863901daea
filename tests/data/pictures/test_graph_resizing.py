import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kerasdl.data.pictures.decoding import prepare_picture
from kerasdl.data.pictures.graph import prepare
from kerasdl.data.pictures.graph_resizing import resize_exactly

PICTURE = tf.TensorSpec((None, None, 3), tf.uint8)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


PREPARE = {
    (size, how): tf.function(
        lambda image, size=size, how=how: prepare(image, size, how),
        input_signature=[PICTURE],
    )
    for size, how in ((7, "squash"), (32, "crop"))
}
RESIZE = tf.function(
    lambda image, box: resize_exactly(image, box, 9),
    input_signature=[PICTURE, tf.TensorSpec((4,), tf.float64)],
)


@given(
    st.integers(1, 120),
    st.integers(1, 120),
    st.sampled_from(sorted(PREPARE)),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_prepares_as_pillow_does(height, width, kind, seed):
    image = noise(height, width, seed)
    np.testing.assert_array_equal(
        PREPARE[kind](image).numpy(), prepare_picture(image, *kind)
    )


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (700, 500), (500, 701)])
def test_large_and_long_pictures(shape):
    image = noise(*shape)
    for kind, graph in PREPARE.items():
        np.testing.assert_array_equal(graph(image).numpy(), prepare_picture(image, *kind))


@given(
    st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(21, 40), st.floats(21, 40))
)
@settings(max_examples=60, deadline=None)
def test_any_box(box):
    image = noise(40, 41)  # the wider side first
    left, top, right, bottom = box
    bilinear = Image.Resampling.BILINEAR
    narrow = Image.fromarray(image).resize((9, 40), bilinear, (left, 0, right, 40))
    expected = narrow.resize((9, 9), bilinear, (0, top, 9, bottom))
    np.testing.assert_array_equal(RESIZE(image, box).numpy(), np.asarray(expected))


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_one_colour_stays_one_colour(level):
    image = np.full((37, 53, 3), level, np.uint8)
    assert (RESIZE(image, (1.5, 2.25, 50.0, 30.0)).numpy() == level).all()


def test_same_size_is_the_picture():
    image = noise(9, 9)
    np.testing.assert_array_equal(RESIZE(image, (0.0, 0.0, 9.0, 9.0)).numpy(), image)


def test_result_is_static():
    assert RESIZE.get_concrete_function().output_shapes == (9, 9, 3)
