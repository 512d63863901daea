"""Configs: found from anywhere, refused with a line that names what is wrong."""

import pytest
from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.runs import flatten
from kerasdl.training import config as config_module
from kerasdl.training.config import (
    check_choice,
    check_positive,
    differing_fields,
    find_config,
    packaged_configs,
    with_config_argument,
)


def test_packaged_config_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = find_config("configs/captioning/default.py")
    assert path.is_file()
    assert path == config_module.CONFIG_ROOT / "captioning" / "default.py"


def test_a_file_in_the_current_folder_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs" / "captioning" / "default.py"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert find_config("configs/captioning/default.py") == own


def test_missing_config_lists_what_there_is():
    with pytest.raises(InputError, match=r"got 'nope\.py'.*captioning/default\.py"):
        find_config("nope.py")


def test_the_config_argument_comes_first_and_absolute(monkeypatch):
    monkeypatch.setattr(
        config_module, "_default_config", ["configs/captioning/default.py"]
    )
    default = f"--config={find_config('configs/captioning/default.py')}"
    rnn = "configs/captioning/flickr8k_rnn.py"
    assert with_config_argument(["p", "--config.seed=3"]) == [
        "p",
        default,
        "--config.seed=3",
    ]
    assert with_config_argument(["p", "--workdir=w", f"--config={rnn}"]) == [
        "p",
        f"--config={find_config(rnn)}",
        "--workdir=w",
    ]


def test_a_command_without_configs_keeps_its_arguments(monkeypatch):
    monkeypatch.setattr(config_module, "_default_config", [])
    assert with_config_argument(["p", "--json"]) == ["p", "--json"]


@pytest.mark.parametrize("name", packaged_configs())
def test_every_packaged_config_has_typed_fields(name):
    """A `None` or a list cannot be overridden by a flag."""
    namespace = {}
    exec(compile(find_config(name).read_text(), name, "exec"), namespace)
    fields = flatten(namespace["get_config"]().to_dict())
    # Sequences are drawn: they have no data set.
    common = {"seed"} if "/sequence/" in name else {"seed", "data.root", "data.test"}
    assert common <= fields.keys()
    assert all(isinstance(value, bool | int | float | str) for value in fields.values())


def test_differing_fields_names_both_values():
    before = {"seed": 0, "epochs": 3, "data": {"root": "a", "test": ""}}
    now = {"seed": 1, "epochs": 9, "data": {"root": "a", "test": "b"}}
    assert differing_fields(before, now) == ["seed (0 -> 1)"]
    assert differing_fields(before, before) == []


def test_a_field_of_only_one_side_differs():
    assert differing_fields({"seed": 0}, {}) == ["seed (0 -> 'absent')"]


def test_checks_name_flag_and_value():
    check_choice("model.rnn", "rnn", ("lstm", "rnn"))
    with pytest.raises(InputError, match=r"--config\.model\.rnn .* lstm, rnn, got 'gru'"):
        check_choice("model.rnn", "gru", ("lstm", "rnn"))
    check_positive(ConfigDict({"epochs": 1}), "epochs")
    with pytest.raises(
        InputError, match=r"--config\.data\.size must be positive, got -2"
    ):
        check_positive(ConfigDict({"data": {"size": -2}}), "data.size")
