"""Tiles against the whole picture, and against finite differences of what they see."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.style import stylize
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.features import to_normalised
from kerasdl.style.network import StyleNetwork
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import make_options
from kerasdl.style.reach import Reach, reaches
from kerasdl.style.tiling import TiledNetwork, TiledObjective, spans

OPTIONS = make_options(
    {
        **{"content_layers": "block2", "style_layers": "stem_relu6,block0,block2"},
        **{"tile_size": 80, "style_size": 48},
    }
)
# Odd sides, so that the picture is padded at other places than a picture of even ones.
SIZE = (117, 142)


def pixels(image):
    return to_normalised(tf.constant(image[np.newaxis], tf.float32))


@pytest.fixture(scope="module")
def arguments():
    content = pixels(drawn_town(SIZE[0])[:, : SIZE[1]])
    styles = [pixels(drawn_strokes(48)), pixels(drawn_town(48, seed=5))]
    noise = np.random.default_rng(0).normal(0, 0.3, content.shape)
    return content, styles, content + noise.astype(np.float32)


def left_and_right():
    """Slanted masks which leave a strip at the top to no style."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    left = np.clip((70 - x + y / 4) / 20, 0, 1) * (y > 15)
    return tf.constant(
        np.stack([left, (1 - left) * (y > 15)], -1)[np.newaxis], tf.float32
    )


@pytest.mark.parametrize("masks", [None, left_and_right()], ids=["whole", "regions"])
def test_losses_and_gradient_are_those_of_the_whole_picture(arguments, masks):
    content, styles, image = arguments
    whole = StyleObjective(
        StyleNetwork(OPTIONS), OPTIONS, content, styles, content, masks=masks
    )
    network = TiledNetwork(OPTIONS)
    tiled = TiledObjective(network, OPTIONS, content, styles, content, masks=masks)
    assert len(network.tiles(SIZE)) == 6
    losses, gradient = tf.function(whole.losses_and_gradient)(image)
    by_tiles, sum_of_tiles = tiled.losses_and_gradient(image)
    np.testing.assert_allclose(by_tiles, losses, rtol=1e-5)
    largest = np.abs(gradient).max()
    np.testing.assert_allclose(sum_of_tiles, gradient, atol=5e-6 * largest)
    # Where tiles meet the gradient is as right as elsewhere.
    assert np.abs(gradient).min(-1).mean() > 1e-3 * largest


@pytest.mark.parametrize("side", [200, 201, 207, 1000])
@pytest.mark.parametrize("reach", [Reach(8, 21, 30), Reach(4, 0, 1)])
def test_spans_own_each_pixel_once_and_see_far_enough(side, reach):
    tiles = spans(side, 100, reach)
    assert (tiles[0].first, tiles[-1].last) == (0, side)
    for one, next_one in itertools.pairwise(tiles):
        assert one.last == next_one.first
    for tile in tiles:
        assert tile.stop - tile.start == tiles[0].stop - tiles[0].start <= 100
        assert tile.start % reach.stride == 0 and tile.first < tile.last
        assert (tile.stop - tile.start - side) % reach.stride == 0
        assert tile.start == 0 or tile.start <= tile.first - reach.before
        assert tile.stop == side or tile.stop >= tile.last + reach.after


def small_network():
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.ZeroPadding2D(2)(x)
    x = keras.layers.Conv2D(2, 5, strides=2, activation="relu", name="a")(x)
    y = keras.layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(x)
    x = keras.layers.Add()([x, y])
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="b")(x)
    x = keras.layers.Conv2D(2, 3, padding="same", name="c")(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("size", [48, 51])
def test_a_feature_sees_no_further_than_its_reach(size):
    """The pixels that move a feature, by its gradient, lie within the reach."""
    keras.utils.set_random_seed(0)
    model = small_network()
    found = reaches(model)
    assert found["c"].stride == 4
    image = tf.random.stateless_uniform((1, size, size, 3), seed=(0, 1))
    for name in ("a", "b", "c"):
        part = keras.Model(model.inputs, model.get_layer(name).output)
        stride, before, after = found[name]
        place = part(image).shape[1] // 2
        with tf.GradientTape() as tape:
            tape.watch(image)
            feature = tf.reduce_sum(part(image)[:, place, place])
        seen = np.nonzero(np.abs(tape.gradient(feature, image)).sum((0, 2, 3)))[0]
        assert place * stride - before <= seen.min()
        assert seen.max() <= place * stride + after
        if name == "a":  # no pooling or dead unit between: exact
            assert (before, after) == (2, 2)


def test_a_layer_that_sees_the_whole_picture_is_refused():
    inputs = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inputs)
    model = keras.Model(inputs, keras.layers.Multiply()([inputs, pooled]))
    with pytest.raises(InputError, match=r"`tile_size` must be 0 .* squeeze \(Global"):
        reaches(model)


def test_tiles_that_own_nothing_are_refused(arguments):
    content, styles, _ = arguments
    options = dataclasses.replace(OPTIONS, tile_size=30)
    with pytest.raises(InputError, match=r"at least 37 pixels .* 9 \+ 12 .* got 30"):
        TiledObjective(TiledNetwork(options), options, content, styles, content)


def test_a_tiled_run_ends_with_nearly_the_same_picture_and_resumes_to_the_bit():
    pictures = drawn_town(60), drawn_strokes(48)
    options = {
        **{"image_size": 68, "style_size": 48, "iterations": 3, "average_decay": 0.5},
        **{"content_layers": "block2", "style_layers": "stem_relu6,block0"},
    }
    whole = stylize(*pictures, **options)
    tiled = stylize(*pictures, tile_size=64, **options)
    assert np.abs(tiled.image.astype(int) - whole.image).max() <= 2
    for one, other in zip(tiled.trace, whole.trace, strict=True):
        assert one["loss/total"] == pytest.approx(other["loss/total"], rel=1e-4)
    calls = iter(range(9))
    half = stylize(
        *pictures, tile_size=64, should_stop=lambda: next(calls) == 1, **options
    )
    assert half.state.iteration == 2
    rest = stylize(*pictures, tile_size=64, resume=half.state, **options)
    np.testing.assert_array_equal(rest.image, tiled.image)
