"""The three recipes on the network and the pictures that they were made for."""

import importlib
from pathlib import Path

import pytest

from kerasdl.style import stylize
from kerasdl.training.style import style_options

SHARED = Path(__file__).parents[2].parent / "shared"
WEIGHTS = SHARED / "weights/squeezenet/squeezenet_weights_tf_dim_ordering_tf_kernels.h5"
STYLES = SHARED / "data/styles"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.exists() and STYLES.exists()),
    reason="SqueezeNet's weights or the paintings are not there",
)


def run(name, **overrides):
    config = importlib.import_module(f"kerasdl.configs.style.{name}").get_config()
    config.weights = str(WEIGHTS)
    return stylize(
        STYLES / config.content,
        STYLES / config.styles,
        options=style_options(config),
        **overrides,
    )


def test_a_recipe_in_small():
    result = run("the_scream", image_size=64, style_size=64, iterations=6, every=2)
    assert [row["iteration"] for row in result.trace] == [0, 2, 4, 6]
    first = result.trace[0]
    # The content picture, clamped, is nearly the content; total variation is its own.
    assert 0 < first["loss/content"] < 0.01 * first["loss/style"]
    assert first["loss/total"] == pytest.approx(
        sum(first[f"loss/{term}"] for term in ("content", "style", "tv")), rel=1e-5
    )
    # The result is stretched from its minimum to its maximum.
    assert (result.image.min(), result.image.max()) == (0, 255)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["composition_vii", "the_scream", "starry_night"])
def test_a_recipe_whole(name):
    first, *_, last = run(name).trace
    assert last["iteration"] == 200
    assert last["loss/style"] < 0.1 * first["loss/style"]
    assert last["loss/total"] < 0.5 * first["loss/total"]
