"""The table of jobs: every config fits one job, and wrong values are named."""

import pytest
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.training.config import override, packaged_configs, read_config
from kerasdl.training.jobs import JOBS, find_job

FOLDERS = {name: name for name in ("captioning", "transfer", "style", "text")}


@pytest.mark.parametrize("path", packaged_configs())
def test_every_packaged_config_is_of_its_job_and_passes(path):
    config = read_config(path)
    spec, complete = find_job(config)
    assert spec.name == path.split("/")[1]
    assert complete.to_dict() == config.to_dict()
    spec.check(config)


@pytest.mark.parametrize("spec", JOBS.values(), ids=JOBS)
def test_the_table_names_fields_that_there_are(spec):
    declared = {name for path in spec.configs for name in flat(read_config(path))}
    named = {*spec.choices, *spec.positive, *spec.not_negative, *spec.shares}
    assert named <= declared


def flat(config):
    from kerasdl.runs import flatten

    return flatten(config.to_dict())


@pytest.mark.parametrize(
    ("job", "field", "value", "message"),
    [
        (
            "captioning",
            "monitor",
            "val/cidre",
            r"'val/cidre' \(did you mean 'val/ci",
        ),
        (
            "transfer",
            "monitor",
            "val/bleu4",
            "must be one of train/loss, val/loss",
        ),
        ("text", "monitor", "", r"monitor must be one of .*got ''"),
        ("captioning", "model.rnn", "gru2", "model.rnn must be one of lstm, gru, rnn"),
        ("captioning", "learning_rate", 0.0, r"learning_rate must be positive, got 0\.0"),
        ("captioning", "learning_rate", float("nan"), "must be a finite number, got nan"),
        ("transfer", "seed", -1, "seed must not be negative, got -1"),
        ("transfer", "data.val_share", 1.0, "must be at least 0 and less than 1, got 1"),
        ("text", "clip_norm", -1.0, r"clip_norm must not be negative, got -1\.0"),
        ("text", "model.head_dropout", 1.0, "head_dropout must be at least 0 and less"),
        (
            "style",
            "method",
            "both",
            "must be one of picture, network, video, got 'both'",
        ),
        ("style", "scales", 0, "`scales` must be positive, got 0"),
        ("style", "network.steps", 0, "`network.steps` must be positive, got 0"),
        ("sequence", "models", "rnn,gru2", "models must be one of rnn, .*, got 'gru2'"),
        ("sequence", "models", "", "models must be one of rnn, lstm, .*got ''"),
        ("sequence", "steps", 2, "steps must be 3 or more, got 2"),
        ("sequence", "alphabet", 1, "alphabet must be 2 symbols or more, got 1"),
    ],
)
def test_a_wrong_value_is_named(job, field, value, message):
    spec = JOBS[job]
    config = override(read_config(spec.configs[0]), {field: value})
    with pytest.raises(InputError, match=message):
        spec.check(config)


def test_pixels_fill_a_square():
    config = read_config("configs/sequence/pixels.py")
    with pytest.raises(InputError, match=r"steps must be a square number.*got 143"):
        JOBS["sequence"].check(override(config, {"steps": 143}))


def test_a_config_of_another_job_is_refused():
    config = read_config("configs/text/default.py")
    with pytest.raises(InputError, match="is no field of the captioning job"):
        JOBS["captioning"].check(config)
    short = ConfigDict(read_config("configs/captioning/default.py").to_dict())
    del short.decode
    with pytest.raises(InputError, match=r"captioning job lacks the field 'decode\."):
        JOBS["captioning"].check(short)


def test_some_fields_are_completed_if_they_fit_one_job():
    spec, config = find_job(ConfigDict({"augment": {"flip": False}, "epochs": 2}))
    default = read_config("configs/transfer/default.py")
    assert spec.name == "transfer"
    assert (
        config.to_dict()
        == override(default, {"augment.flip": False, "epochs": 2}).to_dict()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 3}, r"fits several jobs \(captioning, transfer, text, sequence\)"),
        ({"epohcs": 3}, r"has fields of no job .* got the fields epohcs"),
    ],
)
def test_fields_that_fit_no_job_or_several(fields, message):
    with pytest.raises(InputError, match=message):
        find_job(ConfigDict(fields))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, r"no field 'epoch' \(did you mean 'epochs'\?\)"),
        ({"model": {"unit": 3}}, r"no field 'model\.unit' \(did you mean 'model\.units'"),
        ({"epochs": "x"}, r"--config\.epochs must be of type int, got 'x'"),
        ({"model.dropout": [1]}, r"--config\.model\.dropout must be of type float"),
    ],
)
def test_a_wrong_override_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        override(read_config("configs/captioning/default.py"), changes)


def test_overrides_take_what_python_has(tmp_path):
    config = override(
        read_config("configs/style/default.py"),
        {
            "styles": [tmp_path / "a.jpg", "Monet, Lilies.jpg"],
            "data": {"root": tmp_path},
            "style_weight": 3,
        },
    )
    assert config.styles == f'{tmp_path}/a.jpg,"Monet, Lilies.jpg"'
    assert config.data.root == str(tmp_path)
    assert config.style_weight == 3.0
