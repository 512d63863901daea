import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kerasdl.data.resize_graph import resize_exactly


def compare(image, box, size):
    pillow = Image.fromarray(image).resize(
        (size, size), Image.Resampling.BILINEAR, box=box
    )
    graph = resize_exactly(tf.constant(image), tf.constant(box, tf.float64), size)
    assert graph.dtype == tf.uint8
    np.testing.assert_array_equal(graph, pillow)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 600),
    width=st.integers(1, 600),
    size=st.integers(1, 80),
    seed=st.integers(0, 99),
)
def test_every_pixel_is_pillows(height, width, size, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    compare(image, (0.0, 0.0, float(width), float(height)), size)
    left, right = np.sort(rng.uniform(0, width, 2))
    top, bottom = np.sort(rng.uniform(0, height, 2))
    if right - left > 1e-3 and bottom - top > 1e-3:
        compare(image, (left, top, right, bottom), size)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_even_pictures_stay_as_they_are(value):
    compare(np.full((301, 200, 3), value, np.uint8), (0.0, 0.0, 200.0, 301.0), 64)


def test_one_graph_takes_every_size():
    graph = tf.function(
        lambda image, box: resize_exactly(image, box, 17),
        input_signature=[
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((4,), tf.float64),
        ],
    )
    for height, width in [(256, 3), (257, 90), (1, 1), (700, 512)]:
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        box = (0.0, 0.0, float(width), float(height))
        pillow = Image.fromarray(image).resize((17, 17), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(graph(image, tf.constant(box, tf.float64)), pillow)
