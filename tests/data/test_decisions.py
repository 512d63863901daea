"""From probabilities to labels, and back from the file that an export carries."""

import numpy as np
import pytest

from kerasdl.data.decisions import FILE, Decision
from kerasdl.errors import InputError


def test_the_most_probable_class_by_default():
    assert Decision().names("abc", np.array([[0.2, 0.5, 0.3]])) == ["b"]
    assert Decision().files() == {}


def test_a_threshold_of_two_classes_moves_the_boundary():
    decision = Decision(thresholds=(0.7, 0.3))
    shares = np.array([[0.71, 0.29], [0.69, 0.31], [0.4, 0.6]])
    assert decision.chosen(shares).tolist() == [0, 1, 1]


def test_several_labels_none_among_them():
    shares = np.array([[0.6, 0.5, 0.1], [0.1, 0.2, 0.3]])
    assert Decision(True).names("abc", shares) == ["a|b", ""]
    assert Decision(True, (0.7, 0.5, 0.3)).names("abc", shares) == ["b", "c"]


@pytest.mark.parametrize("decision", [Decision(True), Decision(False, (0.75, 0.25))])
def test_the_file_is_read_again(decision):
    assert Decision.from_json(decision.files()[FILE], 2) == decision


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        '{"multi_label": true}',
        '{"multi_label": 1, "thresholds": []}',
        '{"multi_label": true, "thresholds": [0.5, 0.5, 0.5]}',
        '{"multi_label": true, "thresholds": [0.5, 1.0]}',
        '{"multi_label": true, "thresholds": [0.5, "x"]}',
    ],
)
def test_another_file_is_refused(data):
    with pytest.raises(InputError, match=r"x: expected an object .* 2 numbers"):
        Decision.from_json(data, 2, "x")
