"""Exports a user's Keras model, with its recurrent layers replaced by ours."""

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.vocabulary import check_class_names, class_names_to_bytes
from kerasdl.errors import InputError
from kerasdl.export import forms, representative
from kerasdl.export.comparison import Tolerance
from kerasdl.export.metadata import VOCABULARY_IDS, vocabulary_ids
from kerasdl.export.proof import Case
from kerasdl.export.stock import convert_stock
from kerasdl.export.streaming import add_step
from kerasdl.export.subject import SERVING, Export, Request, Subject
from kerasdl.export.training import add_train
from kerasdl.layers import emissions_in_buffers, steps_written_out

# By quantisation: the largest difference from the float64 answers, as a share of the
# range of an output.
TOLERANCES = {"none": 1e-4, "float16": 1e-2, "dynamic": 3e-2, "weights": 3e-2}
TOLERANCES["int8"] = 3e-2
# In float32, of one step from the same step of the whole sequence.
STEP_DIFFERENCE = 1e-5
# Representative inputs that an export is compared on.
PROVEN = 32
STRATEGIES = ("auto", "loop", "unrolled")
SIGNATURES = ("infer", "step", "train")
# Unrolled, a longer sequence makes a file of many thousand operations.
LONGEST_AUTO_UNROLL = 256
# In float32, layers of so few units are faster unrolled: what a loop costs beside their
# products weighs more than the products (measured by benchmarks/export.py).
SMALL_UNITS = 64
_CONTEXTS = {"loop": emissions_in_buffers, "unrolled": steps_written_out}


class KerasModel(Subject):
    """A built `keras.Model` with known inputs; see `Subject`.

    Args:
        model: Left as it is.

    Raises:
        InputError: It has no weights or inputs yet, or an input that is no tensor of
            numbers.
    """

    name = "keras"

    def __init__(self, model: keras.Model) -> None:
        if not isinstance(model, keras.Model) or not model.built:
            raise InputError(
                "`model` must be a built keras.Model, got "
                f"{type(model).__name__} {getattr(model, 'name', '')!r}."
            )
        if not getattr(model, "inputs", None):
            raise InputError(
                "`model` must know its inputs (Sequential with an Input, or functional), "
                f"got {type(model).__name__} {model.name!r}."
            )
        self.model = model
        self._structure, names, outputs = forms.structure_of(model)
        self.inputs = dict(zip(unique(names), model.inputs, strict=True))
        self.outputs = unique(outputs)
        for name, tensor in self.inputs.items():
            if not tf.as_dtype(tensor.dtype).is_numeric and tensor.dtype != "bool":
                raise InputError(
                    f"`model`: the input {name!r} must be of numbers, got {tensor.dtype}."
                )
        self.recurrent = [
            layer
            for layer in forms.layers_of(model)
            if isinstance(layer, keras.layers.RNN)
        ]
        for layer in self.recurrent:
            if type(layer).__name__.startswith("ConvLSTM"):
                raise InputError(
                    f"`model`: the layer {layer.name!r} ({type(layer).__name__}) has no "
                    "form that converts; TimeDistributed convolutions and an LSTM have."
                )

    def timed(self) -> list[str]:
        """The inputs whose second axis is time, as far as shapes tell."""
        return [
            name
            for name, tensor in self.inputs.items()
            if len(tensor.shape) == 3
            or (len(tensor.shape) == 2 and tensor.shape[1] is None)
            or (len(tensor.shape) == 2 and "int" in tensor.dtype)
            or (len(tensor.shape) == 5 and self.recurrent)  # moving pictures
        ]

    def device(self, request: Request) -> Export:
        """Signatures of `infer`, `step` and `train`, as requested."""
        _check(request)
        shapes = self._shapes(request)
        lengths = [shapes[name][1] for name in self.timed()]
        lengths = lengths or [shape[1] for shape in shapes.values() if len(shape) > 1]
        known = max(lengths) if lengths and None not in lengths else None
        strategy = choose_strategy(
            request,
            bool(self.recurrent),
            known,
            f"the layer {self.recurrent[0].name!r}" if self.recurrent else "",
            max(map(_units, self.recurrent), default=0),
        )
        model = self._rebuilt(shapes)
        module = tf.Module()
        module.weights = [variable.value for variable in model.variables]
        with _CONTEXTS.get(strategy, contextlib.nullcontext)():
            infer = concrete(self.caller(model), self._specs(shapes))
        reference = Reference(self)
        given = representative.batches(request.representative, self.inputs, shapes)
        given = list(itertools.islice(given, representative.CALIBRATION))
        inputs = given[:PROVEN]
        if request.quantize != "int8":  # which knows the ranges of real inputs alone
            inputs += representative.drawn(self.model, self.inputs, shapes, self.timed())
        allowed = TOLERANCES[request.quantize]
        export = Export(
            module,
            {SERVING: infer},
            [Case(SERVING, given, reference(given)) for given in inputs],
            {SERVING: Tolerance(1.0, allowed)},
            strategy,
            notes={"reference": reference.dtype},
            metadata={"input": {"kind": "tensors"}},
            files=self._files(request),
        )
        if request.quantize == "int8":
            export.calibration = given
        if "step" in request.signatures:
            close = STEP_DIFFERENCE if request.quantize == "none" else allowed
            add_step(export, self, model, reference, request, close)
        if "train" in request.signatures:
            add_train(export, self, model, request)
        return export

    def stock(self, export: Export, folder: Path) -> tuple[Path | None, dict[str, Any]]:
        """See `Subject`; of a model with recurrent layers."""
        if not self.recurrent:
            return None, {}
        return convert_stock(self, export.cases[0], folder)

    def _files(self, request: Request) -> dict[str, str]:
        files = {}
        if request.labels is not None:
            labels = tuple(map(str, request.labels))
            classes = self.model.outputs[0].shape[-1]
            if len(self.outputs) != 1 or len(labels) != classes:
                raise InputError(
                    f"`labels` must name the {classes} classes of the only output, got "
                    f"{len(labels)} of {len(self.outputs)} outputs."
                )
            check_class_names(labels, "`labels`")
            files["labels.txt"] = class_names_to_bytes(labels).decode("utf-8")
        if request.vocabulary is not None:
            words = list(map(str, request.vocabulary))
            files["vocab.txt"] = "".join(f"{word}\n" for word in words)
            files[VOCABULARY_IDS] = vocabulary_ids(words)
        return files

    def served(self, request: Request) -> Export:
        """The one signature `SERVING`, of any batch and length that the model takes."""
        shapes = self._shapes(request)
        model = self._rebuilt(shapes)
        module = tf.Module()
        module.weights = [variable.value for variable in model.variables]
        infer = concrete(self.caller(model), self._specs(shapes))
        reference = Reference(self)
        given = representative.batches(request.representative, self.inputs, shapes)
        return Export(
            module,
            {SERVING: infer},
            [
                Case(SERVING, given, reference(given))
                for given in [
                    *itertools.islice(given, PROVEN),
                    *representative.drawn(self.model, self.inputs, shapes, self.timed()),
                ]
            ],
            {SERVING: Tolerance(1.0, TOLERANCES["none"])},
            notes={"reference": reference.dtype},
        )

    def caller(self, model: keras.Model, **options: Any):
        """A function of tensors by input name, to outputs by name."""

        def call(**inputs):
            given = [inputs[name] for name in self.inputs]
            packed = keras.tree.pack_sequence_as(self._structure, given)
            outputs = model(packed, **options)
            flat = keras.tree.flatten(outputs)
            return dict(zip(self.outputs, flat, strict=True))

        options.setdefault("training", False)
        return call

    def _rebuilt(self, shapes: Mapping[str, tuple]) -> keras.Model:
        by_old = {tuple(self.inputs[name].shape): new for name, new in shapes.items()}
        try:
            return forms.rebuilt(
                forms.with_our_layers(self.model),
                forms=True,
                shape=lambda shape: by_old.get(tuple(shape), shape),
            )
        except (ValueError, TypeError) as error:
            raise InputError(
                f"`model`: {type(self.model).__name__} {self.model.name!r} cannot be "
                f"rebuilt from its configuration: {first_line(error)}"
            ) from error

    def _shapes(self, request: Request) -> dict[str, tuple]:
        """The shape of each input with the batch and the steps that are asked for."""
        timed, shapes = self.timed(), {}
        for name, tensor in self.inputs.items():
            shape = list(tensor.shape)
            if request.batch is not None:
                shape[0] = request.batch
            if name in timed and request.steps is not None:
                if shape[1] not in (None, request.steps):
                    raise InputError(
                        f"`steps` must be {shape[1]}, which the model's input {name!r} "
                        f"has, got {request.steps}."
                    )
                shape[1] = request.steps
            shapes[name] = tuple(shape)
        return shapes

    def _specs(self, shapes: Mapping[str, tuple]) -> dict[str, tf.TensorSpec]:
        return {
            name: tf.TensorSpec(shapes[name], _float32(tensor.dtype))
            for name, tensor in self.inputs.items()
        }


class Reference:
    """The answers of the Keras model, in float64 if its configuration rebuilds it so.

    Attributes:
        dtype: "float64" or "float32".
    """

    def __init__(self, subject: KerasModel) -> None:
        self._subject = subject
        self.dtype = "float64"
        try:
            model = forms.rebuilt(subject.model, forms=False, dtype="float64")
            self._call = subject.caller(model)
            self._call(**_zeros(subject.inputs))
        except Exception:  # a layer of a user's may fail in any way in float64
            self.dtype = "float32"
            self._call = subject.caller(subject.model)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name for arrays by input name."""
        tensors = {
            name: tf.constant(
                value.astype(self.dtype) if value.dtype.kind == "f" else value
            )
            for name, value in inputs.items()
        }
        return {name: value.numpy() for name, value in self._call(**tensors).items()}


def choose_strategy(
    request: Request, recurrent: bool, steps: int | None, what: str, units: int
) -> str:
    """How loops over time are written: "loop", "unrolled", or "none" if there are none.

    Args:
        request: What is asked for.
        recurrent: Whether the model has recurrent layers.
        steps: The length, None if it is unknown.
        what: The recurrent layer, for messages.
        units: Of the widest recurrent layer.

    Raises:
        InputError: What is asked for does not go together.
    """
    if not recurrent:
        return "none"
    needed = request.quantize == "int8"
    if steps is None and (needed or request.strategy == "unrolled"):
        why = "--quantize=int8" if needed else "strategy='unrolled'"
        raise InputError(
            f"{why} needs a known length for {what}: name it by `steps` (--steps); any "
            "length works with the strategy 'loop' and quantize none, dynamic, float16 "
            "or weights."
        )
    if needed and request.strategy == "loop":
        raise InputError(
            "--quantize=int8 needs strategy='unrolled' (the converter does not quantise "
            f"the loop of {what}), got 'loop'."
        )
    if request.strategy != "auto":
        return request.strategy
    # Unrolled, the backward pass would be a multiple of the forward pass's operations.
    learns = "train" in request.signatures
    short = steps is not None and steps <= LONGEST_AUTO_UNROLL and not learns
    small = request.quantize in ("none", "float16") and units <= SMALL_UNITS
    pays = request.quantize == "dynamic" or small
    return "unrolled" if needed or (short and pays) else "loop"


def _units(layer: keras.layers.RNN) -> int:
    """The widest state of a recurrent layer."""
    sizes = keras.tree.flatten(layer.state_size)
    return max(size for size in sizes if isinstance(size, int))


def _zeros(inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    return {
        name: tf.zeros([side or 4 for side in tensor.shape], _float64(tensor.dtype))
        for name, tensor in inputs.items()
    }


def concrete(function: Any, specs: Mapping[str, tf.TensorSpec]):
    """A concrete function of keyword arguments with these names."""
    named = {name: tf.TensorSpec(s.shape, s.dtype, name) for name, s in specs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)


def first_line(error: Exception) -> str:
    """The last line of a chain of Keras's messages, which names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith("Exception encountered:")]
    return (marked or lines or [repr(error)])[-1][:300]


def unique(names: Iterator[str] | list[str]) -> list[str]:
    """Identifiers made of names, each once."""
    result: list[str] = []
    for name in names:
        name = re.sub(r"\W", "_", name)
        candidate, number = name, 1
        while candidate in result:
            candidate, number = f"{name}_{number}", number + 1
        result.append(candidate)
    return result


def _check(request: Request) -> None:
    if request.strategy not in STRATEGIES:
        raise InputError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}, got "
            f"{request.strategy!r}."
        )
    unknown = [name for name in request.signatures if name not in SIGNATURES]
    if unknown or "infer" not in request.signatures:
        raise InputError(
            f"`signatures` must hold 'infer' and may hold 'step' and 'train', got "
            f"{', '.join(request.signatures) or 'none'}."
        )
    if request.stretch:
        raise InputError("`stretch` is of a workdir on pictures, got a Keras model.")
    for name in ("batch", "steps"):
        value = getattr(request, name)
        if value is not None and (isinstance(value, bool) or value < 1):
            raise InputError(f"`{name}` must be a positive integer, got {value!r}.")
    if request.quantize == "int8" and request.representative is None:
        raise InputError(
            "--quantize=int8 needs `representative` (--representative=F.npy): real "
            "inputs, from which it measures the ranges of the activations; weights, "
            "dynamic and float16 need none."
        )


def _float32(dtype: str) -> tf.DType:
    return tf.float32 if "float" in str(dtype) else tf.as_dtype(dtype)


def _float64(dtype: str) -> tf.DType:
    return tf.float64 if "float" in str(dtype) else tf.as_dtype(dtype)
