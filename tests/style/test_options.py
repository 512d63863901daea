"""Options: ranges, and that no default is written twice."""

import dataclasses
from pathlib import Path

import pytest

from kerasdl.configs.style import composition_vii, default, starry_night, the_scream
from kerasdl.errors import InputError
from kerasdl.style.options import NetworkOptions, StyleOptions, make_options, numbers


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pooling", "min", "`pooling` must be one of max, average, got 'min'"),
        ("optimizer", "sgd", "`optimizer` must be one of adam, lbfgs, got 'sgd'"),
        ("image_size", 0, "`image_size` must be positive, got 0"),
        ("learning_rate", float("nan"), "`learning_rate` must be positive, got nan"),
        ("tv_weight", -1.0, "`tv_weight` must not be negative, got -1.0"),
        ("layer_weights", "1,x", "`layer_weights` must be numbers, got '1,x'"),
        ("layer_weights", "1,-2", "`layer_weights` must be positive numbers, got '1,-2'"),
        ("feature_divisors", "a", "`feature_divisors` must be LAYER=NUMBER, got 'a'"),
        ("scales", 6, "must leave 16 pixels at the coarsest, got 6 for `image_size` 256"),
        ("tile_size", -1, "`tile_size` must not be negative, got -1"),
        ("average_decay", 1.0, "`average_decay` must be at least 0 and less than 1"),
        ("sizes", 3, "no option 'sizes'; there are backbone, "),
    ],
)
def test_what_is_refused(field, value, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        make_options({field: value})


def test_what_does_not_go_together():
    with pytest.raises(InputError, match=r"of Adam's iterates .* 0\.9 with 'lbfgs'"):
        StyleOptions(optimizer="lbfgs", average_decay=0.9)


def test_the_style_s_size_follows_the_picture_s_or_not():
    assert StyleOptions(image_size=512).full_style_size == 256
    assert StyleOptions(image_size=512, style_scale=0.75).full_style_size == 384


def test_network_options_are_checked():
    with pytest.raises(InputError, match=r"`network.filters` must be positive, got 0"):
        NetworkOptions(filters=0)


def test_iterations_over_scales():
    options = StyleOptions(scales=3, iterations=100, coarse_iterations=40)
    assert [options.iterations_at(scale) for scale in range(3)] == [40, 40, 100]
    assert options.total_iterations == 180


def test_a_list_of_the_wrong_length():
    with pytest.raises(InputError, match="`style_mix` must be 3 numbers, got '1,2'"):
        numbers("style_mix", "1,2", 3)


def test_the_default_config_is_the_options():
    config = default.get_config()
    for name, value in dataclasses.asdict(StyleOptions()).items():
        assert config[name] == value
    assert config.network.to_dict() == dataclasses.asdict(NetworkOptions())


# The table of the report that the recipes come from.
RECIPES = {
    composition_vii: (192, 512, 5e-2, "20000,500,12,1", 5e-2),
    the_scream: (192, 224, 3e-2, "200000,800,12,1", 2e-2),
    starry_night: (192, 192, 6e-2, "300000,1000,15,3", 2e-2),
}


@pytest.mark.parametrize("module", RECIPES, ids=lambda module: module.__name__)
def test_the_recipes(module):
    config = module.get_config()
    assert RECIPES[module] == (
        config.image_size,
        config.style_size,
        config.content_weight,
        config.layer_weights,
        config.tv_weight,
    )
    assert (config.learning_rate, config.decay_at, config.iterations) == (3.0, 180, 200)
    assert (config.clamp, config.clamp_until, config.stretch) == (1.5, 190, True)
    assert config.content_layers == "fire2"
    assert config.style_layers == "conv1_relu,fire3,fire4,fire5"


def test_lists_mappings_and_paths_stand_for_their_text():
    given = make_options(
        {
            "style_layers": ["block0", "block2"],
            "layer_weights": (2, 0.5),
            "feature_divisors": {"block0": 20, "block2": 1.5},
            "init": Path("start.png"),
        }
    )
    assert given == make_options(
        {
            "style_layers": "block0,block2",
            "layer_weights": "2,0.5",
            "feature_divisors": "block0=20,block2=1.5",
            "init": "start.png",
        }
    )
    with pytest.raises(InputError, match=r"layer_weights.*positive.*'2,-1'"):
        make_options({"layer_weights": [2, -1]})
