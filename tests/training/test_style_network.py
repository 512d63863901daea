"""Training a network for one style: its objective, its pictures, its crops."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasdl.configs.style import feed_forward
from kerasdl.errors import InputError
from kerasdl.style.examples import drawn_strokes, drawn_town
from kerasdl.style.features import to_normalised
from kerasdl.style.network import StyleNetwork
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import make_options
from kerasdl.training.config import override
from kerasdl.training.job import prepare
from kerasdl.training.style_network import (
    NetworkJob,
    PictureSet,
    picture_splits,
)

SIZE = 32
LAYERS = {"content_layers": "block2", "style_layers": "stem_relu6,block0"}
STYLES = [drawn_strokes(SIZE, 1), drawn_town(SIZE, 2)[:, :SIZE]]
PICTURES = np.stack([drawn_town(SIZE, seed)[:, :SIZE] for seed in (3, 4, 5)])


def make_objective(styles, pictures, **options):
    options = make_options(LAYERS | options)
    styles = [to_normalised(style[np.newaxis].astype("f4")) for style in styles]
    return StyleObjective(
        StyleNetwork(options), options, to_normalised(pictures.astype("f4")), styles
    )


def terms_of(objective, images, styled):
    """The losses of `styled` pictures, RGB, by name, as those of `images`."""
    wanted = objective.network.content_features(to_normalised(images))
    losses = objective.losses(to_normalised(styled), wanted).numpy()
    return dict(zip(("loss", "content", "style", "tv"), losses[:4], strict=True))


def style_loss(styles, mix="", weighting="raw"):
    objective = make_objective(styles, PICTURES, style_mix=mix, weighting=weighting)
    images = tf.constant(PICTURES, tf.float32)
    return {name: float(v) for name, v in terms_of(objective, images, images).items()}


def test_two_styles_in_unequal_weights_lie_between_them():
    """The target is Σ_s m_s G_s; the loss is that of an objective with this target.

    With A the picture's Gram matrices, Σ (A - m G_1 - (1 - m) G_2)² is a parabola in m
    through the losses of the styles alone (m = 1 and m = 0) and of equal shares.
    """
    first, second = (style_loss([style])["style"] for style in STYLES)
    half = style_loss(STYLES)["style"]
    curvature = 2 * (first + second - 2 * half)
    assert curvature > 0.01 * half, "the styles must differ for this to say anything"
    for m, mix in ((0.75, "3,1"), (0.2, "1,4")):
        expected = second + m * (first - second) - curvature * m * (1 - m)
        assert style_loss(STYLES, mix)["style"] == pytest.approx(expected, rel=1e-3)
    assert style_loss(STYLES[::-1], "1,3")["style"] == pytest.approx(
        style_loss(STYLES, "3,1")["style"], rel=1e-4
    )


def test_normalised_weights_start_at_the_weights_themselves():
    # Dark strokes: far from the pictures, above the floor of a layer's first loss.
    terms = style_loss([STYLES[0] // 3], weighting="normalised")
    options = make_options(LAYERS)
    assert terms["content"] == pytest.approx(0.0, abs=1e-6)
    assert terms["style"] == pytest.approx(options.style_weight, rel=1e-3)
    assert terms["tv"] == pytest.approx(options.tv_weight, rel=1e-3)
    total = terms["content"] + terms["style"] + terms["tv"]
    assert terms["loss"] == pytest.approx(total, rel=1e-6)


def test_terms_are_means_over_the_pictures():
    objective = make_objective(STYLES[:1], PICTURES, weighting="raw")
    images, moved = (
        tf.constant(PICTURES, tf.float32),
        tf.constant(PICTURES[::-1], "float32"),
    )
    together = terms_of(objective, images, moved)
    alone = [terms_of(objective, images[k : k + 1], moved[k : k + 1]) for k in range(3)]
    for name, value in together.items():
        mean = np.mean([float(one[name]) for one in alone])
        assert float(value) == pytest.approx(mean, rel=1e-4), name


def make_folder(root, count, broken=()):
    root.mkdir(exist_ok=True)
    for seed in range(count):
        path = root / f"{seed:02d}.png"
        if seed in broken:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(drawn_town(40, seed)).save(path)
    return root


def make_config(root, **fields):
    small = {
        **{"image_size": SIZE, "style_size": SIZE, "data.root": root, **LAYERS},
        **{"network.filters": 4, "network.residual_blocks": 1},
        **{"network.steps": 4, "network.steps_per_epoch": 2, "network.batch_size": 2},
    }
    return override(feed_forward.get_config(), small | fields)


def test_pictures_are_held_out_by_the_seed(tmp_path):
    make_folder(tmp_path, 20)
    train, held_out, tests = picture_splits(make_config(tmp_path))
    assert (len(train), len(held_out), tests) == (18, 2, None)
    assert not set(train.paths) & set(held_out.paths)
    again = picture_splits(make_config(tmp_path))[1].paths
    assert (
        held_out.paths == again != picture_splits(make_config(tmp_path, seed=1))[1].paths
    )


def test_too_few_pictures_are_refused(tmp_path):
    make_folder(tmp_path, 1)
    with pytest.raises(InputError, match="must hold two pictures at least"):
        picture_splits(make_config(tmp_path))


def test_crops_are_of_the_size_and_a_function_of_the_generator(tmp_path):
    pictures = PictureSet(sorted(make_folder(tmp_path, 2).iterdir()), False, SIZE)
    path = pictures.paths[0]
    crops = [pictures.crop(path, np.random.default_rng(k)) for k in (1, 1, 2)]
    assert {crop.shape for crop in crops} == {(SIZE, SIZE, 3)}
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()


def test_broken_pictures_are_skipped_and_many_end_the_run(tmp_path, capsys):
    folder = make_folder(tmp_path, 40, broken={3})
    pictures = PictureSet(sorted(folder.iterdir()), False, SIZE)
    random = np.random.default_rng(0)
    assert [pictures.crop(p, random) is None for p in pictures.paths].index(True) == 3
    assert capsys.readouterr().err.count("skipped: ") == 1
    few = PictureSet(pictures.paths[2:5], False, SIZE)
    with pytest.raises(InputError, match="1 of 3 pictures cannot be read"):
        for path in few.paths:
            few.crop(path, random)


def test_a_network_for_several_styles(tmp_path):
    folder = make_folder(tmp_path / "pictures", 4)
    for name, style in (("a", STYLES[0]), ("b", STYLES[1])):
        Image.fromarray(style).save(tmp_path / f"{name}.png")
    several = {"network.conditional": True, "network.batch_size": 4}
    config = make_config(folder, styles=f"{tmp_path}/a.png,{tmp_path}/b.png", **several)
    job = NetworkJob(config)
    objective = prepare(job)
    images, shares = next(iter(objective.batches(0)))
    np.testing.assert_array_equal(np.sum(shares, 0), [2, 2])  # as many of each
    assert np.isfinite(float(objective.loss(images, shares)))
    scores = job.evaluate()
    both = [scores["val/style/a"], scores["val/style/b"]]
    assert scores["val/style"] == pytest.approx(np.mean(both), rel=1e-5)
    with pytest.raises(InputError, match=r"must name several pictures .*, got 1"):
        prepare(NetworkJob(make_config(folder, styles=f"{tmp_path}/a.png", **several)))


def test_batches_are_a_function_of_seed_epoch_and_step(tmp_path):
    job = NetworkJob(make_config(make_folder(tmp_path, 6)))
    objective = prepare(job)
    assert (job.epochs, objective.steps_per_epoch) == (2, 2)
    first, again, later = ([np.array(b) for (b,) in job._batches(e)] for e in (0, 0, 1))
    assert {batch.shape for batch in first} == {(2, SIZE, SIZE, 3)}
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first[0] != later[0]).any()
    assert set(job.evaluate()) == {"val/loss", "val/content", "val/style", "val/tv"}
