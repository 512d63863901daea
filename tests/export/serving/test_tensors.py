import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from kerasdl.export.serving.tensors import (
    DTYPES,
    Refused,
    Signature,
    TensorSpec,
    read_body,
    to_answer,
    to_tensors,
)


def signature(**inputs):
    return Signature({k: TensorSpec(d, s) for k, (d, s) in inputs.items()}, {})


X = signature(x=("DT_FLOAT", (None, 2)))
TWO = signature(a=("DT_INT32", (None,)), b=("DT_STRING", (None,)))


def tensors(request, asked=X):
    return to_tensors(read_body(json.dumps(request).encode()), asked)


@pytest.mark.parametrize(
    "request_body",
    [
        {"instances": [[1, 2], [3, 4.5]]},
        {"instances": [{"x": [1, 2]}, {"x": [3, 4.5]}]},
        {"inputs": [[1, 2], [3, 4.5]]},
        {"inputs": {"x": [[1, 2], [3, 4.5]]}},
        {"signature_name": "", "inputs": {"x": [[1, 2], [3, 4.5]]}},
    ],
)
def test_rows_and_columns_plain_and_named(request_body):
    found = tensors(request_body)
    assert [*found] == ["x"] and found["x"].dtype == np.float32
    np.testing.assert_array_equal(found["x"], [[1, 2], [3, 4.5]])


def test_several_inputs_strings_and_base64():
    rows = [{"a": 1, "b": "é"}, {"a": -2, "b": {"b64": "AP8="}}]
    found = tensors({"instances": rows}, TWO)
    assert found["a"].tolist() == [1, -2] and found["a"].dtype == np.int32
    assert found["b"].tolist() == ["é".encode(), b"\x00\xff"]
    columns = {"a": [1, -2], "b": ["é", {"b64": "AP8="}]}
    again = tensors({"inputs": columns}, TWO)
    assert again["b"].tolist() == found["b"].tolist()


def test_scalars_and_empty_batches():
    assert tensors({"inputs": 3}, signature(n=("DT_INT64", ())))["n"].shape == ()
    assert tensors({"instances": []})["x"].shape == (0, 2)
    assert tensors({"inputs": []})["x"].shape == (0, 2)
    anything = signature(x=("DT_FLOAT", None))
    assert tensors({"inputs": [[[1]]]}, anything)["x"].shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe", "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error: lists are nested too deeply"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "JSON Parse error"),
        (b"[]", "Expected a JSON object, got a list."),
        (b"{}", "Expected one of 'instances' and 'inputs', got none."),
        (b'{"inputs": 1, "instances": []}', "got instances and inputs"),
        (b'{"instances": {}}', "'instances' must be a list, got an object."),
        (b'{"signature_name": 3, "inputs": 1}', "must be a string, got a whole number."),
    ],
)
def test_bodies_that_are_no_request(body, message):
    with pytest.raises(Refused) as refused:
        read_body(body)
    assert refused.value.status == 400 and message in refused.value.message


@pytest.mark.parametrize(
    ("request_body", "asked", "message"),
    [
        ({"instances": [[1, 2], [3]]}, X, "'x': lists at depth 1 differ in length."),
        ({"instances": [[1, [2]]]}, X, "'x': lists at depth 2 stand beside values."),
        ({"instances": [1, [2]]}, X, "'x': lists at depth 1 stand beside values."),
        ({"instances": [[1, 2, 3]]}, X, "expected the shape [?, 2], got [1, 3]."),
        ({"inputs": 1}, X, "expected the shape [?, 2], got []."),
        ({"instances": [[1, True]]}, X, "(DT_FLOAT) takes numbers, got true or false."),
        ({"instances": [[1, "2"]]}, X, "(DT_FLOAT) takes numbers, got a string."),
        ({"instances": [[1, None]]}, X, "(DT_FLOAT) takes numbers, got null."),
        ({"instances": [[1, 1e39]]}, X, "'x': a number is too large for DT_FLOAT."),
        ({"instances": [[1, 10**400]]}, X, "'x': a number is too large for DT_FLOAT."),
        ({"instances": [{"x": [1, 2]}, [3, 4]]}, X, "instances[1] must be an object"),
        ({"instances": [{"y": 1}]}, X, "instances[0] must hold 'x', got 'y'."),
        ({"inputs": {"x": [], "y": []}}, X, "'inputs' must hold 'x', got 'x', 'y'."),
        ({"instances": [1]}, TWO, "instances[0] must be an object of 'a', 'b'."),
        ({"inputs": [1]}, TWO, "'inputs' must be an object of 'a', 'b'."),
        ({"inputs": {"a": [1.5], "b": [""]}}, TWO, "whole numbers, got a number with a"),
        ({"inputs": {"a": [2**31], "b": [""]}}, TWO, "too large for DT_INT32."),
        ({"inputs": {"a": [1], "b": [1]}}, TWO, 'strings or {"b64": ...}, got a whole'),
        ({"inputs": {"a": [1], "b": [{"b64": "?"}]}}, TWO, "unable to base64 decode"),
        ({"inputs": {"a": [1], "b": [{"b64": 1}]}}, TWO, "got 'b64'."),
        ({"inputs": {"a": [1], "b": ["\ud800"]}}, TWO, "lone surrogate"),
        ({"inputs": [1]}, signature(x=("DT_COMPLEX64", (None,))), "JSON cannot hold"),
    ],
)
def test_values_that_the_signature_does_not_take(request_body, asked, message):
    with pytest.raises(Refused) as refused:
        tensors(request_body, asked)
    assert refused.value.status == 400 and message in refused.value.message


def test_answers_in_rows_and_columns():
    outputs = {"y": np.array([[1.5, 2], [3, 4]], np.float32), "n": np.array([1, 2])}
    told = json.loads(to_answer(outputs, True))
    assert told == {"predictions": [{"n": 1, "y": [1.5, 2]}, {"n": 2, "y": [3, 4]}]}
    told = json.loads(to_answer(outputs, False))
    assert told == {"outputs": {"n": [1, 2], "y": [[1.5, 2], [3, 4]]}}
    assert json.loads(to_answer({"n": outputs["n"]}, True)) == {"predictions": [1, 2]}
    assert json.loads(to_answer({"n": outputs["n"]}, False)) == {"outputs": [1, 2]}
    assert math.isnan(json.loads(to_answer({"n": np.array(np.nan)}, False))["outputs"])


def test_bytes_in_answers():
    values = np.array([b"caf\xc3\xa9", b"\xff"], object)
    told = json.loads(to_answer({"word": values}, True))["predictions"]
    assert told == ["café", {"b64": "/w=="}]
    told = json.loads(to_answer({"word_bytes": values}, True))["predictions"]
    assert told == [{"b64": "Y2Fmw6k="}, {"b64": "/w=="}]


def test_outputs_without_common_rows_are_no_predictions():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}
    with pytest.raises(Refused, match="no common batch axis"):
        to_answer(outputs, True)
    with pytest.raises(Refused, match="no common batch axis"):
        to_answer({"a": np.array(1.0)}, True)


def test_specs_from_protobufs_json():
    info = {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1"}, {"size": "4"}], "unknown_rank": False},
    }
    assert TensorSpec.from_json(info) == TensorSpec("DT_FLOAT", (None, 4))
    unknown = {"dtype": "DT_INT8", "tensor_shape": {"dim": [], "unknown_rank": True}}
    assert TensorSpec.from_json(unknown) == TensorSpec("DT_INT8", None)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_goes_in_comes_out(data):
    """A tensor as JSON is the tensor again, whatever its type and shape."""
    name = data.draw(st.sampled_from(sorted(DTYPES)))
    shape = data.draw(st.lists(st.integers(1, 3), max_size=4))
    dtype = np.dtype(DTYPES[name])
    size = int(np.prod(shape))
    if dtype.kind == "O":
        leaf = st.binary(max_size=5)
    elif dtype.kind == "b":
        leaf = st.booleans()
    elif dtype.kind == "f":
        leaf = st.floats(width=8 * dtype.itemsize, allow_nan=False)
    else:
        limits = np.iinfo(dtype)
        leaf = st.integers(int(limits.min), int(limits.max))
    values = np.empty(size, dtype)
    values[:] = data.draw(st.lists(leaf, min_size=size, max_size=size))
    told = to_answer({"x_bytes": values.reshape(shape)}, False)
    request = json.dumps({"inputs": json.loads(told)["outputs"]}).encode()
    spec = signature(x=(name, tuple(shape)))
    found = to_tensors(read_body(request), spec)["x"]
    assert found.dtype == dtype and found.shape == tuple(shape)
    assert found.reshape(-1).tolist() == values.tolist()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "x", "b64"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(value=_JSON, key=st.sampled_from(["instances", "inputs"]), two=st.booleans())
def test_any_json_is_taken_or_refused(value, key, two):
    asked = TWO if two else X
    try:
        found = tensors({key: value}, asked)
    except Refused as refused:
        assert refused.status == 400 and refused.message
    else:
        for name, spec in asked.inputs.items():
            assert found[name].dtype == DTYPES[spec.dtype]
            assert found[name].ndim == len(spec.shape)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body):
    try:
        read_body(body)
    except Refused as refused:
        assert refused.status == 400
