"""Converts TensorFlow Serving's JSON to tensors, and output tensors to JSON.

Row format, `{"instances": [row, ...]}`, has the batch axis outside; column format,
`{"inputs": {name: tensor}}`, has it inside each tensor. Bytes are `{"b64": "..."}`.
Source: TensorFlow Serving's documentation of its REST interface (tensorflow.org/tfx).
One difference: no instances give no predictions, while TensorFlow Serving refuses them.
"""

import base64
import binascii
import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DEFAULT_SIGNATURE = "serving_default"

# The types that JSON can hold, by TensorFlow's names for them.
DTYPES = {
    "DT_HALF": np.float16,
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": np.object_,
}
# JSON's values, as Python reads them, that a kind of NumPy type takes.
_TAKEN = {
    "f": ({int, float}, "numbers"),
    "i": ({int}, "whole numbers"),
    "u": ({int}, "whole numbers"),
    "b": ({bool}, "true or false"),
    "O": ({str, dict}, 'strings or {"b64": ...}'),
}
_JSON_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number with a fraction",
    int: "a whole number",
    list: "a list",
    str: "a string",
    type(None): "null",
}


class Refused(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP's status code.
        message: What the client is told.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One input or output: TensorFlow's type name, and its shape (None: of any rank)."""

    dtype: str
    shape: tuple[int | None, ...] | None

    @classmethod
    def from_json(cls, info: Mapping[str, Any]) -> "TensorSpec":
        """From a TensorInfo in protobuf's JSON."""
        shape = info["tensor_shape"]
        if shape.get("unknown_rank"):
            return cls(info["dtype"], None)
        sizes = (int(dim["size"]) for dim in shape.get("dim", []))
        return cls(info["dtype"], tuple(None if size < 0 else size for size in sizes))


@dataclasses.dataclass(frozen=True)
class Signature:
    """The tensors that a signature takes and gives, by name."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @classmethod
    def from_json(cls, definition: Mapping[str, Any]) -> "Signature":
        """From a SignatureDef in protobuf's JSON."""
        return cls(
            *(
                {name: TensorSpec.from_json(i) for name, i in definition[side].items()}
                for side in ("inputs", "outputs")
            )
        )

    @property
    def batched(self) -> bool:
        """Whether rows of several requests can run as one: every batch axis is free."""
        specs = [*self.inputs.values(), *self.outputs.values()]
        return all(spec.shape and spec.shape[0] is None for spec in specs)


@dataclasses.dataclass(frozen=True)
class PredictBody:
    """A request's JSON: which signature, which format, what values."""

    signature_name: str
    in_rows: bool
    value: Any


def read_body(body: bytes) -> PredictBody:
    """Reads a predict request's JSON.

    Raises:
        Refused: Status 400, if it is no JSON object with `instances` or `inputs`.
    """
    try:
        request = json.loads(body)
    except RecursionError:
        raise Refused(400, "JSON Parse error: lists are nested too deeply.") from None
    except ValueError as error:  # UTF-8, syntax, numbers of thousands of digits
        raise Refused(400, f"JSON Parse error: {error}.") from None
    if not isinstance(request, dict):
        raise Refused(400, f"Expected a JSON object, got {_JSON_NAMES[type(request)]}.")
    name = request.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise Refused(
            400, f"signature_name must be a string, got {_JSON_NAMES[type(name)]}."
        )
    given = [key for key in ("instances", "inputs") if key in request]
    if len(given) != 1:
        raise Refused(
            400,
            "Expected one of 'instances' and 'inputs', got "
            f"{' and '.join(given) or 'none'}.",
        )
    in_rows = given == ["instances"]
    value = request[given[0]]
    if in_rows and not isinstance(value, list):
        raise Refused(400, f"'instances' must be a list, got {_JSON_NAMES[type(value)]}.")
    return PredictBody(name or DEFAULT_SIGNATURE, in_rows, value)


def to_tensors(body: PredictBody, signature: Signature) -> dict[str, np.ndarray]:
    """The tensors that a request's values are.

    Returns:
        By input name; strings as arrays of Python bytes.

    Raises:
        Refused: Status 400, naming the input, the rule and what was received.
    """
    if body.in_rows:
        values = _columns(body.value, list(signature.inputs))
    elif isinstance(body.value, dict) and not _is_base64(body.value):
        _check_names(body.value, list(signature.inputs), "'inputs'")
        values = body.value
    elif len(signature.inputs) == 1:
        values = {next(iter(signature.inputs)): body.value}
    else:
        raise Refused(400, f"'inputs' must be an object of {_listed(signature.inputs)}.")
    return {
        name: _tensor(values[name], name, spec) for name, spec in signature.inputs.items()
    }


def to_answer(outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
    """The body of the answer to a request.

    A single output stands without its name. Output strings are JSON strings; those of
    outputs named `..._bytes`, or that are no UTF-8, are `{"b64": ...}`.

    Raises:
        Refused: Status 400, if rows are asked of outputs that do not agree on their
            number.
    """
    values = {
        name: _plain(value.tolist(), name) if value.dtype == object else value.tolist()
        for name, value in sorted(outputs.items())
    }
    if in_rows:
        counts = {value.shape[0] if value.ndim else None for value in outputs.values()}
        if None in counts or len(counts) > 1:
            raise Refused(
                400, "The outputs have no common batch axis; ask with 'inputs' instead."
            )
    if len(values) == 1:
        (answer,) = values.values()
    elif in_rows:
        rows = zip(*values.values(), strict=True)
        answer = [dict(zip(values, row, strict=True)) for row in rows]
    else:
        answer = values
    return json.dumps({"predictions" if in_rows else "outputs": answer}).encode()


def _columns(instances: Sequence[Any], names: Sequence[str]) -> dict[str, list]:
    """Rows, plain or objects, as one list for each input."""
    objects = [isinstance(row, dict) and not _is_base64(row) for row in instances]
    if not any(objects) and len(names) == 1:
        return {names[0]: instances}
    for index, (row, is_object) in enumerate(zip(instances, objects, strict=True)):
        if not is_object:
            raise Refused(
                400, f"instances[{index}] must be an object of {_listed(names)}."
            )
        _check_names(row, names, f"instances[{index}]")
    return {name: [row[name] for row in instances] for name in names}


def _check_names(given: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    if sorted(given) != sorted(names):
        raise Refused(
            400, f"{where} must hold {_listed(names)}, got {_listed(given) or 'nothing'}."
        )


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name[:50]) for name in itertools.islice(names, 20)]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


def _tensor(value: Any, name: str, spec: TensorSpec) -> np.ndarray:
    """A JSON value as the tensor that `spec` describes."""
    if spec.dtype not in DTYPES:
        raise Refused(400, f"input {name!r}: JSON cannot hold its type, {spec.dtype}.")
    dtype = np.dtype(DTYPES[spec.dtype])
    shape, leaves = _flatten(value, name)
    if spec.shape is not None and 0 in shape and len(shape) < len(spec.shape):
        shape += [size or 0 for size in spec.shape[len(shape) :]]  # [] of any rank
    _check_shape(shape, name, spec)

    taken, described = _TAKEN[dtype.kind]
    for kind in set(map(type, leaves)) - taken:
        raise Refused(
            400,
            f"input {name!r} ({spec.dtype}) takes {described}, got {_JSON_NAMES[kind]}.",
        )
    if dtype.kind == "O":
        array = np.empty(len(leaves), object)
        array[:] = [_bytes(leaf, name) for leaf in leaves]
        return array.reshape(shape)
    try:
        with np.errstate(over="ignore"):
            array = np.array(leaves, dtype)
        overflow = dtype.kind == "f" and np.isinf(array).any()
        if overflow and not np.isinf(np.array(leaves, np.float64)[np.isinf(array)]).all():
            raise OverflowError
    except OverflowError:
        raise Refused(
            400, f"input {name!r}: a number is too large for {spec.dtype}."
        ) from None
    return array.reshape(shape)


def _flatten(value: Any, name: str) -> tuple[list[int], list]:
    """The shape of nested lists, and their leaves in order."""
    shape, leaves = [], [value]
    while leaves and isinstance(leaves[0], list):
        size = len(leaves[0])
        if any(not isinstance(leaf, list) or len(leaf) != size for leaf in leaves):
            raise Refused(
                400, f"input {name!r}: lists at depth {len(shape)} differ in length."
            )
        shape.append(size)
        leaves = [*itertools.chain.from_iterable(leaves)]
    if any(isinstance(leaf, list) for leaf in leaves):
        raise Refused(
            400, f"input {name!r}: lists at depth {len(shape)} stand beside values."
        )
    return shape, leaves


def _check_shape(shape: Sequence[int], name: str, spec: TensorSpec) -> None:
    wanted = spec.shape
    if wanted is None:
        return
    fits = len(shape) == len(wanted) and all(
        expected in (None, size) for size, expected in zip(shape, wanted, strict=True)
    )
    if not fits:
        raise Refused(
            400,
            f"input {name!r}: expected the shape "
            f"[{', '.join('?' if size is None else str(size) for size in wanted)}], got "
            f"[{', '.join(map(str, shape[:20]))}].",
        )


def _is_base64(value: Any) -> bool:
    return (
        isinstance(value, dict) and [*value] == ["b64"] and isinstance(value["b64"], str)
    )


def _bytes(leaf: str | dict, name: str) -> bytes:
    if isinstance(leaf, str):
        try:
            return leaf.encode("utf-8")
        except UnicodeEncodeError:
            raise Refused(
                400, f"input {name!r}: a string holds a lone surrogate."
            ) from None
    if not _is_base64(leaf):
        raise Refused(
            400, f'input {name!r}: expected {{"b64": "..."}}, got {_listed(leaf)}.'
        )
    try:
        return base64.b64decode(leaf["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, f"input {name!r}: unable to base64 decode.") from None


def _plain(value: Any, name: str) -> Any:
    """Output bytes, in nested lists, as JSON holds them."""
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if not name.endswith("_bytes"):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode("ascii")}
