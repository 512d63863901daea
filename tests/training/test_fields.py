"""What configs say of themselves: every field has a meaning, each from one place."""

import pytest

from kerasdl.training.fields import config_fields, describe_config, describe_fields
from kerasdl.training.jobs import JOBS

CONFIG = '''"""A line.

More.

Headline: val/accuracy 0.5
"""
from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    # No meaning: of a part.
    config.data = ConfigDict()
    config.data.root = (
        "#"  # inside "#"
    )
    # Two lines
    # above.
    config.data.test = ""
    config.plain = 1
    config.epochs = 3  # on its line
    config.seed = 0
    return config
'''


def test_comments_on_the_line_win_over_those_above(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(CONFIG)
    assert describe_config(str(path)) == ("A line.\n\nMore.", "val/accuracy 0.5")
    meanings = {field.name: field.meaning for field in config_fields(str(path))}
    assert meanings == {
        "data.root": 'inside "#"',
        "data.test": "Two lines above.",
        "epochs": "on its line",
        "plain": "",
        "seed": "",
    }


@pytest.mark.parametrize("job", JOBS)
def test_every_field_has_a_value_and_a_meaning(job):
    meanings = {}
    for path in reversed(JOBS[job].configs):
        meanings |= {f.name: f.meaning for f in config_fields(path) if f.meaning}
    for path in JOBS[job].configs:
        for field in config_fields(path):
            assert field.name in meanings, f"{path}: {field.name}"
    assert not meanings.keys() - {
        f.name for path in JOBS[job].configs for f in config_fields(path)
    }


def test_options_explain_themselves_where_they_are_declared():
    meanings = {f.name: f.meaning for f in config_fields("configs/style/default.py")}
    assert meanings["tv_weight"] == "w_tv, of the total variation."
    assert meanings["network.steps"]
    lines = describe_fields("configs/captioning/default.py")
    assert any(line.startswith("  decode.beam_size=1 ") for line in lines)
    assert all(line.rstrip() != line.split("=")[0] for line in lines)
