"""Signatures of a SavedModel on encoded pictures, of which some may be broken."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasdl.export.jobs import strings
from kerasdl.export.proof import Case
from kerasdl.export.subject import SERVING

# As `SERVING`, with a status for each row: a broken input answers alone.
EACH = "serving_each"
# What `EACH` says of a row that is none.
BROKEN = "expected a whole JPEG or PNG picture"


def of_any_batch(answer: Callable) -> Callable:
    """`answer`, from pictures (N, ...) to outputs by name, that takes N = 0 too.

    TensorFlow's optimiser moves a BatchNorm's factor before a convolution, and fails to
    if there are no samples; so an empty batch is answered with one blank sample.
    """
    import tensorflow as tf

    def answer_any(pictures):
        count = tf.shape(pictures)[0]
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        edges = [[0, missing]] + [[0, 0]] * (pictures.shape.rank - 1)
        results = answer(tf.pad(pictures, edges))
        return {name: value[:count] for name, value in results.items()}

    return answer_any


def add_encoded_signatures(
    module: Any,
    read: Callable,
    blank: Any,
    answer: Callable,
    outputs: Sequence[str] = (),
    further: Sequence[Any] = (),
) -> None:
    """Adds the signatures on encoded pictures to a module, `on_bytes` and `on_each`.

    Args:
        module: A `tf.Module`.
        read: From a scalar string to a picture, a tensor; may fail when run.
        blank: What takes the place of a picture that cannot be read.
        answer: From a batch of pictures, and of `further` inputs, to outputs by name.
        outputs: The names that encoded pictures are answered with; all by default.
        further: The specs of inputs besides the pictures, (N, ...) each.
    """
    import tensorflow as tf

    def guarded(data):
        # The one construct of a graph that goes on after an operation has failed.
        whole = tf.data.Dataset.from_tensors(data).map(lambda d: (read(d), True))
        broken = tf.data.Dataset.from_tensors((blank, False))
        whole = whole.ignore_errors().concatenate(broken)
        return whole.take(1).get_single_element()

    spec = tf.TensorSpec((None,), tf.string, name="image_bytes")

    @tf.function(input_signature=[spec, *further], autograph=False)
    def on_each(image_bytes, *more):
        pictures, whole = tf.map_fn(
            guarded,
            image_bytes,
            fn_output_signature=(
                tf.TensorSpec(blank.shape, blank.dtype),
                tf.TensorSpec((), tf.bool),
            ),
        )
        results = {
            n: v
            for n, v in answer(pictures, *more).items()
            if not outputs or n in outputs
        }
        for name, value in results.items():
            rows = tf.reshape(whole, [-1] + [1] * (value.shape.rank - 1))
            results[name] = tf.where(rows, value, tf.zeros((), value.dtype))
        return results | {"status": tf.where(whole, "", BROKEN)}

    @tf.function(input_signature=[spec, *further], autograph=False)
    def on_bytes(image_bytes, *more):
        results = dict(on_each(image_bytes, *more))
        broken = tf.where(tf.not_equal(results.pop("status"), ""))[:, 0]
        check = tf.debugging.Assert(
            tf.equal(tf.size(broken), 0), [f"{BROKEN}; broken are the rows", broken]
        )
        with tf.control_dependencies([check]):
            return {name: tf.identity(value) for name, value in results.items()}

    module.on_each, module.on_bytes = on_each, on_bytes


def encoded_cases(
    data: Sequence[bytes],
    rows: Mapping[str, np.ndarray],
    further: Mapping[str, np.ndarray] = types.MappingProxyType({}),
) -> list[Case]:
    """Calls with encoded pictures: each alone, all at once with one broken, and none.

    Args:
        data: The pictures.
        rows: What the model answers, a row for each.
        further: Inputs besides the pictures, a row for each.
    """

    def call(signature, pictures, more, outputs):
        inputs = {"image_bytes": strings(pictures), **more}
        return Case(signature, inputs, dict(outputs))

    def part(values, start, end):
        return {name: value[start:end] for name, value in values.items()}

    cases = [
        call(SERVING, data[k : k + 1], *(part(v, k, k + 1) for v in (further, rows)))
        for k in range(len(data))
    ]
    cases.append(call(SERVING, (), part(further, 0, 0), part(rows, 0, 0)))
    with_broken = {
        name: np.insert(value, 1, _blank(value), axis=0) for name, value in rows.items()
    }
    with_broken["status"] = strings([b""] * (len(data) + 1))
    with_broken["status"][1] = BROKEN.encode()
    broken = data[0][: len(data[0]) // 2]
    more = {name: np.insert(v, 1, v[0], axis=0) for name, v in further.items()}
    return [*cases, call(EACH, [*data[:1], broken, *data[1:]], more, with_broken)]


def _blank(value: np.ndarray) -> Any:
    return b"" if value.dtype == object else 0
