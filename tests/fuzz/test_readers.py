"""Damaged files end in one line, whoever reads them; see docs/reliability.md."""

import importlib.util
import subprocess
import sys
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import NUMBERS, TARGETS, TEXTS

# A change: a place in the file, what to do there, and with what.
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["set", "insert", "cut", "end", "repeat"]),
        st.one_of(
            st.binary(min_size=1, max_size=4),
            st.sampled_from(NUMBERS),
            st.sampled_from(TEXTS),
        ),
    ),
    max_size=5,
)


def damaged(data, changes):
    for place, what, part in changes:
        at = int(place * len(data))
        match what:
            case "set":
                data = data[:at] + part + data[at + len(part) :]
            case "insert":
                data = data[:at] + part + data[at:]
            case "cut":
                data = data[:at] + data[at + len(part) :]
            case "end":
                data = data[:at]
            case "repeat":
                data = data[:at] + data[at : at + 64] + data[at:]
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_whole(name, tmp_path):
    for seed in TARGETS[name].seeds():
        assert TARGETS[name].try_one(seed, tmp_path)


# HDF5 hangs on some damaged files: it is only tried in a child, in tests/weights.
@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"hdf5"}))
def test_damage_is_one_line(name, tmp_path):
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(seeds) - 1), CHANGES)
    def check(index, changes):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning is a second line
            target.try_one(damaged(seeds[index], changes), tmp_path)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_minute_of_coverage_guided_damage(name, tmp_path):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("the extra [fuzz] is not installed")
    command = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds=60"]
    done = subprocess.run(
        [*command, f"--folder={tmp_path}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
