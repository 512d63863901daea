"""The signature `step`, which takes one time step and returns outputs and states."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.export import forms
from kerasdl.export.comparison import Tolerance
from kerasdl.export.proof import Case
from kerasdl.export.subject import SERVING, Export, Request
from kerasdl.layers import steps_written_out

if TYPE_CHECKING:
    from kerasdl.export.keras_model import KerasModel, Reference

STEP = "step"
# How many steps are compared, and of how many samples side by side.
_STEPS = 6
_SAMPLES = 2
_MIX_TIME = [
    "Conv1D",
    "SeparableConv1D",
    "DepthwiseConv1D",
    "Conv1DTranspose",
    "MaxPooling1D",
    "AveragePooling1D",
    "GlobalMaxPooling1D",
    "GlobalAveragePooling1D",
    "ZeroPadding1D",
    "Cropping1D",
    "UpSampling1D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Attention",
    "AdditiveAttention",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "Bidirectional",
    "ConvLSTM1D",
]


def add_step(
    export: Export,
    subject: "KerasModel",
    model: keras.Model,
    reference: "Reference",
    request: Request,
    allowed: float,
) -> None:
    """Adds the signature `step`, and calls of it, to an export.

    `step(x (N, D), states...) -> y, states...`: each state has one name in and out, and
    starts as zeros. A masked step is one not to be sent; if it is, the states stay.

    Args:
        export: What the signature and its calls are added to.
        subject: The model.
        model: The copy whose weights the export holds; the step reads them too.
        reference: Its answers for whole sequences.
        request: Its `batch` is the step's.
        allowed: The largest difference from the whole sequence, a share of the range.

    Raises:
        InputError: An output needs more than the past, or there is nothing to carry.
    """
    from kerasdl.export.keras_model import concrete, unique

    timed = subject.timed()
    _check(subject, timed)
    # A length that is not known shows which outputs have a time axis.
    stream = forms.rebuilt(
        subject.model,
        forms=True,
        stepped=True,
        change=forms.quieten,  # the seeds of dropout would be variables of nothing
        shape=lambda shape: (
            (request.batch, None, *shape[2:])
            if len(shape) > 1 and any(_same(shape, subject.inputs[n]) for n in timed)
            else (request.batch, *shape[1:])
        ),
    )
    uses = _uses(stream)
    for layer in forms.layers_of(stream):
        if uses[id(layer)] > 1 and any(map(_is_looped, forms.layers_of(layer))):
            raise InputError(
                "signatures: 'step' carries one state for each layer, and "
                f"{layer.name!r} is used {uses[id(layer)]} times; give each use a layer "
                "of its own."
            )
    layers = [layer for layer in forms.layers_of(stream) if _is_looped(layer)]
    sizes = {
        id(layer): [
            size if isinstance(size, int) else size[-1]
            for size in keras.tree.flatten(layer.state_size)
        ]
        for layer in layers
    }
    names = unique(
        [
            f"{layer.name}_{'hc'[k] if len(sizes[id(layer)]) <= 2 else k}"
            for layer in layers
            for k in range(len(sizes[id(layer)]))
        ]
    )
    owners = [id(layer) for layer in layers for _ in sizes[id(layer)]]
    widths = [size for layer in layers for size in sizes[id(layer)]]
    outputs = [output.shape for output in stream.outputs]
    has_time = [len(shape) > 2 and shape[1] is None for shape in outputs]
    call = subject.caller(stream)

    def step(**arguments):
        carried: dict[int, list[tf.Tensor]] = {id(layer): [] for layer in layers}
        for name, owner in zip(names, owners, strict=True):
            carried[owner].append(arguments.pop(name))
        given = {
            name: value[:, tf.newaxis] if name in timed else value
            for name, value in arguments.items()
        }
        shared = keras.StatelessScope(zip(stream.weights, model.weights, strict=True))
        with shared, forms.carried_states(carried):
            results = call(**given)
        for (name, value), lies_in_time in zip(
            list(results.items()), has_time, strict=True
        ):
            results[name] = value[:, 0] if lies_in_time else value
        after = [state for layer in layers for state in carried[id(layer)]]
        return results | dict(zip(names, after, strict=True))

    specs = {}
    for name, tensor in subject.inputs.items():
        rest = tensor.shape[2:] if name in timed else tensor.shape[1:]
        dtype = "float32" if "float" in tensor.dtype else tensor.dtype
        specs[name] = tf.TensorSpec((request.batch, *rest), dtype)
    for name, width in zip(names, widths, strict=True):
        specs[name] = tf.TensorSpec((request.batch, width), "float32")
    with steps_written_out():
        export.signatures[STEP] = concrete(step, specs)
    export.tolerances[STEP] = Tolerance(1.0, allowed)
    export.notes["states"] = names
    whole = _whole(export.cases, subject.inputs, timed, request.batch)
    samples = len(next(iter(whole.values())))
    states = {
        name: np.zeros((samples, width), np.float32)
        for name, width in zip(names, widths, strict=True)
    }
    for t in range(_STEPS):
        past = {n: v[:, : t + 1] if n in timed else v for n, v in whole.items()}
        try:
            answers = reference(past)
        except ValueError as error:
            raise InputError(
                "signatures: 'step' is compared with sequences of 1 step and more; give "
                "the model's Input no length (None), and fix it by `steps` if need be."
            ) from error
        expected = {
            name: value[:, t] if lies_in_time else value
            for (name, value), lies_in_time in zip(answers.items(), has_time, strict=True)
        }
        now = {n: v[:, t] if n in timed else v for n, v in whole.items()}
        first = t == 0
        export.cases.append(
            Case(
                STEP,
                now | (states if first else {}),
                expected,
                () if first else (*names,),
            )
        )


def _check(subject: "KerasModel", timed: list[str]) -> None:
    if not subject.recurrent or not timed:
        raise InputError(
            "signatures: 'step' needs a recurrent layer, whose states it carries; "
            f"{subject.model.name!r} has none."
        )
    for layer in forms.layers_of(subject.model, inside=_not_of_one_step):
        kind = type(layer).__name__
        if kind in _MIX_TIME or getattr(layer, "go_backwards", False):
            raise InputError(
                f"signatures: 'step' needs a model without future; the layer "
                f"{layer.name!r} ({kind}) sees other steps than the present one. Leave "
                "'step' out, or take a model of forward recurrent layers and layers of "
                "one step."
            )
    for layer in subject.recurrent:
        nodes = getattr(layer, "_inbound_nodes", [])
        if any(len(node.input_tensors) > 1 for node in nodes):
            raise InputError(
                f"signatures: 'step' carries the states of {layer.name!r} itself: its "
                "initial_state must not be an input of the model or of another layer. A "
                "model of one step that takes and gives the states needs no 'step'."
            )


def _not_of_one_step(layer: Any) -> bool:
    return not isinstance(layer, keras.layers.TimeDistributed)


def _uses(model: keras.Model) -> Counter:
    """How often each layer is called in a model's graph and those of models in it.

    By `id`. A layer's own nodes count calls outside of the model as well.
    """
    graphs = [getattr(layer, "_functional", layer) for layer in forms.layers_of(model)]
    by_depth = [getattr(graph, "_nodes_by_depth", {}) for graph in graphs]
    nodes = {id(n): n for depths in by_depth for same in depths.values() for n in same}
    return Counter(id(node.operation) for node in nodes.values())


def _is_looped(layer: Any) -> bool:
    return isinstance(layer, forms.Looped)


def _same(shape: Any, tensor: Any) -> bool:
    return tuple(shape) == tuple(tensor.shape)


def _whole(
    cases: list[Case],
    inputs: Mapping[str, Any],
    timed: list[str],
    batch: int | None,
) -> dict[str, np.ndarray]:
    """A sequence of `_STEPS` steps made of the first calls' inputs, without padding."""
    rng = np.random.default_rng(1)
    first = next(case.inputs for case in cases if case.signature == SERVING)
    samples = batch or _SAMPLES
    result = {}
    for name in inputs:
        value = first[name]
        rows = np.concatenate([value] * samples)[:samples]
        if name in timed:
            picked = rng.integers(0, value.shape[1], (samples, _STEPS))
            rows = np.stack([row[k] for row, k in zip(rows, picked, strict=True)])
        result[name] = rows
    return result
