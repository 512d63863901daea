"""`stylize` on small drawn pictures with the network that ships."""

import numpy as np
import pytest
from PIL import Image

from kerasdl.errors import InputError
from kerasdl.style import StyleOptions, stylize
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.features import (
    STYLE_LAYERS,
    FeatureExtractor,
    to_grey_levels,
    to_normalised,
)

SMALL = {
    "init_noise": 0.0,
    "image_size": 32,
    "style_size": 32,
    "iterations": 12,
    "content_layers": "block2",
    "style_layers": "stem_relu6,block0,block2",
}


@pytest.fixture(scope="module")
def pictures():
    return drawn_town(48), drawn_strokes(48)


@pytest.fixture(scope="module")
def plain(pictures):
    return stylize(*pictures, every=5, **SMALL)


def test_the_trace(plain):
    assert [row["iteration"] for row in plain.trace] == [0, 5, 10, 12]
    first, last = plain.trace[0], plain.trace[-1]
    assert first["loss/content"] == 0
    assert last["loss/total"] < 0.5 * first["loss/total"]
    for row in plain.trace:
        terms = [row[f"loss/{term}"] for term in ("content", "style", "tv")]
        assert row["loss/total"] == pytest.approx(sum(terms), rel=1e-5)
        layers = [
            row[f"loss/style/{name}"] for name in ("stem_relu6", "block0", "block2")
        ]
        assert row["loss/style"] == pytest.approx(sum(layers), rel=1e-5)
    assert plain.finished
    assert plain.image.shape == (32, 42, 3)
    assert plain.image.dtype == np.uint8


def test_normalised_layers_start_at_the_same_loss(plain):
    first = plain.trace[0]
    layers = [first[f"loss/style/{name}"] for name in ("stem_relu6", "block0", "block2")]
    np.testing.assert_allclose(layers, StyleOptions().style_weight / 3, rtol=1e-5)
    assert first["loss/tv"] == pytest.approx(StyleOptions().tv_weight, rel=1e-5)


def test_the_callback_and_the_same_bits_after_a_stop(pictures, plain):
    steps = []
    calls = iter(range(100))
    half = stylize(
        *pictures,
        every=5,
        callback=lambda step: steps.append((step, step.picture(), step.state())),
        should_stop=lambda: next(calls) == 6,
        **SMALL,
    )
    assert not half.finished
    assert [step.iteration for step, _, _ in steps] == [0, 5]
    assert steps[0][0].iterations == 12
    assert steps[0][0].size == (32, 42)
    assert (steps[0][1] != steps[1][1]).any()
    with pytest.raises(AttributeError):
        steps[0][0].iteration = 3
    assert half.state.iteration == 7
    for state in (half.state, steps[1][2]):
        rest = stylize(*pictures, every=5, resume=state, **SMALL)
        np.testing.assert_array_equal(rest.image, plain.image)
    assert [row["iteration"] for row in rest.trace] == [10, 12]


def test_scales_styles_colours_and_noise(pictures, tmp_path):
    town, strokes = pictures
    path = tmp_path / "content.png"
    Image.fromarray(town).save(path)
    result = stylize(
        path,
        [strokes, np.ascontiguousarray(strokes[::-1, :, ::-1])],
        style_mix="3,1",
        init="noise",
        keep_colours=True,
        optimizer="lbfgs",
        scales=2,
        coarse_iterations=4,
        pooling="average",
        every=1,
        **SMALL,
    )
    rows = result.trace
    assert [row["iteration"] for row in rows] == list(range(17))
    assert [row["height"] for row in rows] == [16] * 4 + [32] * 13
    assert rows[-1]["loss/total"] < rows[4]["loss/total"]
    assert result.image.shape == (32, 42, 3)


def test_noise_is_a_function_of_the_seed(pictures):
    images = [
        stylize(*pictures, init="noise", seed=seed, **{**SMALL, "iterations": 1}).image
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_the_start_is_the_content_and_noise_of_the_seed(pictures):
    few = {**SMALL, "iterations": 1, "learning_rate": 1e-9, "clamp": 9.0}
    start = stylize(*pictures, **few).state.image
    noisy = [
        stylize(*pictures, **few | {"init_noise": 0.3, "seed": seed}).state.image - start
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).mean() > 0.9
    assert noisy[0].std() == pytest.approx(0.3, rel=0.05)


def test_noise_at_the_start_keeps_rows_from_moving_as_one(pictures):
    """Of a content that is the same along rows; far from the border, and at the network's
    stride, a step is the same too unless there is noise: so scan lines come about."""
    rows = np.linspace(120, 160, 64, dtype=np.uint8)[:, np.newaxis, np.newaxis]
    content = np.broadcast_to(rows, (64, 64, 3)).copy()
    moved = []
    for noise in (0.0, 0.1):
        settings = {**SMALL, "image_size": 64, "iterations": 1, "init_noise": noise}
        image = stylize(content, pictures[1], **settings).state.image[0]
        moved.append(np.abs(image[:, 28:36] - image[:, 32:40]).mean())
    assert moved[0] < 2e-3 < 0.05 < moved[1]


def test_mixed_styles_are_mixed(pictures):
    town, strokes = pictures
    few = {**SMALL, "iterations": 1}
    one = stylize(town, strokes, weighting="raw", **few).trace[0]
    same = stylize(town, [strokes, strokes], weighting="raw", **few).trace[0]
    assert same["loss/style"] == pytest.approx(one["loss/style"], rel=1e-4)


def test_different_styles_in_unequal_shares(pictures):
    """The loss as a function of the first style's share m is a parabola.

    It goes through the losses of each style alone and of equal shares, the target being
    m G_1 + (1 - m) G_2.
    """
    town, strokes = pictures
    few = {**SMALL, "iterations": 1, "weighting": "raw"}

    def loss(styles, mix=""):
        return stylize(town, styles, style_mix=mix, **few).trace[0]["loss/style"]

    both = [strokes, strokes[::-1, :, ::-1] // 2]
    first, second, half = loss(both[0]), loss(both[1]), loss(both)
    curvature = 2 * (first + second - 2 * half)
    assert curvature > 0.01 * half, "the styles must differ"
    for m, mix in ((0.75, "3,1"), (0.2, "1,4")):
        expected = second + m * (first - second) - curvature * m * (1 - m)
        assert loss(both, mix) == pytest.approx(expected, rel=1e-3)


@pytest.fixture(scope="module")
def waves():
    y, x = np.mgrid[:64, :64]
    channels = (
        100 * np.sin(x / 3 + y / 5), 100 * np.cos(y / 4), 90 * np.sin((x - y) / 6)
    )  # fmt: skip
    return (128 + np.stack(channels, -1)).astype(np.uint8)


LARGER = {"image_size": 64, "style_size": 64, "iterations": 60, "init_noise": 0.0}


def test_a_flat_content_takes_the_style(waves):
    white = stylize(np.full((64, 64, 3), 255, np.uint8), waves, **LARGER).trace
    assert white[-1]["loss/tv"] < 1e4
    assert white[-1]["loss/style"] < 0.8 * white[0]["loss/style"]


def test_a_content_that_has_the_style_stays_about_as_good(waves):
    same = stylize(waves, waves, **LARGER).trace
    assert same[0]["loss/style"] == pytest.approx(0, abs=1e-6)
    assert same[-1]["loss/total"] <= 10 * same[0]["loss/total"]


def test_a_start_that_is_the_style_turns_into_the_content(waves, tmp_path):
    tiles = np.random.default_rng(0).integers(0, 255, (4, 4, 3))
    town = np.kron(tiles, np.ones((16, 16, 1))).astype(np.uint8)
    Image.fromarray(waves).save(tmp_path / "style.png")
    trace = stylize(town, waves, init=str(tmp_path / "style.png"), **LARGER).trace
    assert trace[0]["loss/content"] == pytest.approx(1, rel=1e-4)
    assert trace[0]["loss/style"] == pytest.approx(0, abs=1e-6)
    assert trace[-1]["loss/content"] < 0.95


@pytest.mark.parametrize("argument", ["content", "styles"])
def test_an_elongated_picture_is_refused(pictures, argument):
    arguments = {"content": pictures[0], "styles": pictures[1]}
    arguments[argument] = np.zeros((10, 2000, 3), np.uint8)
    with pytest.raises(InputError, match=f"`{argument}`: .* ratio of at most 20"):
        stylize(**arguments, **SMALL)


def test_bfloat16_is_near(pictures, plain):
    image = stylize(*pictures, precision="mixed_bfloat16", **SMALL).image
    assert np.abs(image.astype(float) - plain.image).mean() < 20


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("styles", [], "`styles` must name a picture at least, got none"),
        ("content", np.zeros((4, 4), np.uint8), r"got uint8 of shape \(4, 4\)"),
        ("content", "none.jpg", "none.jpg: cannot be read"),
        ("init", "none.png", "none.png: cannot be read"),
        ("style_mix", "1,2", "`style_mix` must be 1 numbers, got '1,2'"),
        ("backbone", "vgg", "no backbone 'vgg'"),
        ("style_layers", "fire2", "no layer 'fire2' in efficientnet_lite0"),
        ("feature_divisors", "stem=2", "among block2, stem_relu6, block0, got 'stem'"),
        ("every", 0, "`every` must be positive, got 0"),
    ],
)
def test_what_is_refused(pictures, argument, value, message):
    arguments = {"content": pictures[0], "styles": pictures[1], **SMALL, argument: value}
    with pytest.raises(InputError, match=message):
        stylize(**arguments)


def test_a_loss_that_is_not_finite_names_its_iteration(pictures):
    with pytest.raises(
        InputError, match="the loss is not finite at iteration 0, got inf"
    ):
        stylize(*pictures, weighting="raw", style_weight=1e38, **SMALL)


def test_units():
    levels = np.array([[[[0.0, 127.5, 255.0]]]], np.float32)
    units = to_normalised(levels)
    np.testing.assert_allclose(
        units, [[[[-0.485 / 0.229, 0.044 / 0.224, 0.594 / 0.225]]]], rtol=1e-5
    )
    np.testing.assert_allclose(to_grey_levels(units), levels, atol=1e-4)


def test_features_are_those_of_the_network(pictures):
    from kerasdl.models.backbones import build_backbone

    names = STYLE_LAYERS["efficientnet_lite0"].style
    extract = FeatureExtractor("efficientnet_lite0", names)
    model = build_backbone("efficientnet_lite0", size=64, output="grid")
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    got = extract(to_normalised(image))
    import keras

    wanted = keras.Model(
        model.inputs, [model.get_layer(name).output for name in extract.layers]
    )(image, training=False)
    for name, value in zip(names, wanted, strict=True):
        np.testing.assert_allclose(got[name], value, atol=2e-3, err_msg=name)
