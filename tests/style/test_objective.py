"""The objective: regions against NumPy, and what its terms are divided by."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.features import to_normalised
from kerasdl.style.network import StyleNetwork
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import make_options

LAYERS = {"content_layers": "block2", "style_layers": "stem_relu6,block0,block2"}
SIDE = 32


def pixels(image):
    return to_normalised(tf.constant(np.asarray(image)[np.newaxis], tf.float32))


@pytest.fixture(scope="module")
def network():
    return StyleNetwork(make_options(LAYERS))


def slow_region_losses(network, image, styles, shares, weights):
    """Σ_r s_r w_l Σ (G_lr − A_lr)² of each layer, in NumPy, from the features alone."""
    features = [network.features(x) for x in (image, *styles)]
    losses = {}
    for name, weight in zip(network.style_layers, weights, strict=True):
        of_image, *of_styles = (f[name].numpy()[0].astype(float) for f in features)
        side = len(of_image)
        blocks = shares.reshape(side, SIDE // side, side, SIDE // side, -1)
        total = 0.0
        for r, f in enumerate(of_styles):
            m = blocks.mean((1, 3))[..., r]
            gram = np.einsum("yx,yxi,yxj->ij", m, of_image, of_image)
            gram /= of_image.shape[-1] * m.sum()
            target = np.einsum("yxi,yxj->ij", f, f) / f.size
            total += shares[..., r].mean() * weight * ((gram - target) ** 2).sum()
        losses[name] = total
    return losses


def test_losses_of_regions_equal_numpy(network):
    image = pixels(drawn_town(SIDE)[:, :SIDE])
    styles = [pixels(drawn_strokes(SIDE)), pixels(drawn_town(24, seed=3))]
    shares = np.random.default_rng(0).uniform(0, 0.5, (SIDE, SIDE, 2))
    shares[:, :16, 0] = 0
    options = make_options(
        LAYERS | {"weighting": "raw", "layer_weights": "1,2,3", "style_weight": 5}
    )
    masks = tf.constant(shares[np.newaxis], tf.float32)
    objective = StyleObjective(network, options, image, styles, masks=masks)
    losses = dict(zip(objective.terms, objective.losses(image).numpy(), strict=True))
    expected = slow_region_losses(network, image, styles, shares, (5, 10, 15))
    for name, value in expected.items():
        assert losses[f"loss/style/{name}"] == pytest.approx(value, rel=1e-4)


def test_a_style_s_gradient_stays_in_its_region(network):
    """The pixels that move the style loss are those of the region, and a margin."""
    options = make_options(LAYERS | {"content_weight": 0, "tv_weight": 0})
    image = pixels(drawn_town(64)[:, :64])
    left = np.zeros((1, 64, 64, 1), np.float32)
    left[:, :, :24] = 1
    objective = StyleObjective(
        network, options, image, [pixels(drawn_strokes(32))], masks=tf.constant(left)
    )
    losses, gradient = objective.losses_and_gradient(image)
    # Normalised weights: the loss starts at the style's weight, times its part; a little
    # lower, for the first layer is so near the style that its divisor is the floor.
    assert float(losses[2]) == pytest.approx(options.style_weight * 24 / 64, rel=0.05)
    columns = np.abs(gradient).max((0, 1, 3))
    assert (columns[:24] > 0).all()
    assert (columns[24 + 16 :] == 0).all()  # block2 sees 12 pixels further


def test_one_region_that_is_the_picture_is_no_region(network):
    image, other = pixels(drawn_town(SIDE)), pixels(drawn_town(SIDE, seed=1))
    styles = [pixels(drawn_strokes(SIDE))]
    options = make_options(LAYERS)
    masks = tf.ones((1, *image.shape[1:3], 1))
    losses = [
        StyleObjective(network, options, image, styles, masks=m).losses(other)
        for m in (None, masks)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_styles_kept_apart_are_those_of_objectives_of_their_own(network):
    """Losses of two pictures, one in each style, against those of each alone."""
    images = tf.concat([pixels(drawn_town(SIDE, seed=s)) for s in (0, 1)], 0)
    styles = [pixels(drawn_strokes(SIDE)), pixels(drawn_town(24, seed=3))]
    options = make_options(LAYERS)
    apart = StyleObjective(network, options, images, styles, apart=True)
    wanted = network.content_features(images)
    moved = images[::-1] * 0.9
    got = apart.losses(moved, wanted, tf.constant([[0.0, 1.0], [1.0, 0.0]]))
    expected = [
        StyleObjective(network, options, images, [style]).losses(
            moved[k : k + 1], {n: p[k : k + 1] for n, p in wanted.items()}
        )
        for k, style in ((0, styles[1]), (1, styles[0]))
    ]
    np.testing.assert_allclose(got, np.mean(expected, 0), rtol=1e-4)


def degenerate():
    """Contents which make what a term is divided by 0, or nearly 0."""
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = np.stack([np.sin(x / 3 + y / 5), np.cos(y / 4), np.sin((x - y) / 6)], -1)
    style = np.uint8(128 + 100 * waves)
    dot = np.zeros_like(style)
    dot[16, 16] = 255
    noise = np.random.default_rng(0).integers(-1, 2, style.shape)
    contents = {
        **{"white": 255 + 0 * dot, "black": 0 * dot, "dot": dot, "style": style},
        "nearly the style": np.uint8(style + noise),
        "nearly white": np.uint8(254 + noise),
    }
    return style, contents


@pytest.mark.parametrize("init", ["content", "noise", "style.png"])
@pytest.mark.parametrize("content", degenerate()[1])
def test_no_content_and_no_start_gives_a_term_all_the_weight(network, content, init):
    """Neither the losses at the start are out of bounds nor those a step of Adam on."""
    style, contents = degenerate()
    image, target = pixels(contents[content]), pixels(style)
    noise = np.random.default_rng(1).random(image.shape, np.float32)
    start = {"content": image, "noise": tf.constant(noise)}.get(init, target)
    options = make_options(LAYERS | {"init": init})
    objective = StyleObjective(network, options, image, [target], start)
    step = options.learning_rate * tf.sign(noise - 0.5)
    for place in (start, start + step, start - step):
        total, content_loss, style_loss, variation = objective.losses(place).numpy()[:4]
        assert 0 <= total < 150
        # From noise on, content and variation are far from a flat picture's.
        assert content_loss < 40 and variation < 20 and style_loss < 120


@pytest.mark.parametrize("init", ["content", "noise"])
def test_a_flat_style_is_no_less_bounded(network, init):
    image, grey = pixels(drawn_town(SIDE)), pixels(np.full((SIDE, SIDE, 3), 128))
    options = make_options(LAYERS | {"init": init})
    objective = StyleObjective(network, options, image, [grey], image)
    assert 0 < float(objective.losses(image)[0]) < 25
