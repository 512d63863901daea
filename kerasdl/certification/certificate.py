"""`kerasdl.certify` compares a recurrent layer with the equations, case by case."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from kerasdl.certification import reference
from kerasdl.certification.cases import LONG, Case, draw_problem, standard_cases
from kerasdl.certification.layouts import Layout, keras_layout
from kerasdl.certification.reference import NETWORKS, Network
from kerasdl.certification.subjects import NotGivenError, NumpyFunction, Subject

Array = np.ndarray

# A layer may lose so many times what the plain equations lose in its precision, or so
# many units in the last place.
LOSS = 16

QUANTITIES = ("outputs", "first derivatives", "second derivatives")


@dataclass(frozen=True)
class Row:
    """One quantity in one case.

    Attributes:
        case: The situation, such as `left padded`.
        quantity: One of `QUANTITIES`.
        array: Of the arrays compared, the one that is nearest to its limit or furthest
            beyond, such as `∂L/∂U`; "" if nothing was compared.
        error: ‖found − true‖ / ‖true‖ of that array.
        limit: The largest error that passes.
        note: Why nothing was compared: what the layer does not take or give, or what it
            raised.
        raised: Whether it raised although it should not.
    """

    case: str
    quantity: str
    array: str = ""
    error: float = 0.0
    limit: float = 0.0
    note: str = ""
    raised: bool = False

    @property
    def passed(self) -> bool:
        """Whether all compared values agree; values that were not given do not count."""
        return not self.raised and self.error <= self.limit

    @property
    def measured(self) -> bool:
        """Whether anything was compared."""
        return bool(self.array)

    def __str__(self) -> str:
        if self.raised:
            return f"FAILS  {self.case}, {self.quantity}: {self.note}"
        if self.note:
            return f"not given  {self.case}, {self.quantity}: {self.note}"
        mark, sign = ("holds", "≤") if self.passed else ("FAILS", ">")
        errors = f"{self.error:.1e} {sign} {self.limit:.1e}"
        return f"{mark}  {self.case}, {self.quantity}: {self.array} {errors}"


@dataclass(frozen=True)
class Certificate:
    """What `certify` found.

    Attributes:
        subject: The layer, its sizes and its precision in words.
        rows: One for each case and quantity.
    """

    subject: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether something was measured and no row fails."""
        return not self.failures and any(row.measured for row in self.rows)

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that fail."""
        return tuple(row for row in self.rows if not row.passed)

    def __str__(self) -> str:
        measured = [row for row in self.rows if row.measured or row.raised]
        held = len(measured) - len(self.failures)
        lines = [f"{self.subject}: {held} of {len(measured)} hold", ""]
        lines.append(f"{'error / limit':22}" + "".join(f"{q:22}" for q in QUANTITIES))
        for case in dict.fromkeys(row.case for row in self.rows):
            cells = [_cell(row) for row in self.rows if row.case == case]
            lines.append(f"{case:22}" + "".join(f"{cell:22}" for cell in cells))
        for title, chosen in (("", self.failures), ("not given: ", self._not_given())):
            lines += [""] * bool(chosen)
            lines += [f"{title}{row}" for row in chosen]
        return "\n".join(line.rstrip() for line in lines)

    def _not_given(self) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for row in self.rows:
            if row.note and not row.raised:
                reasons.setdefault(row.note, []).append(f"{row.case}, {row.quantity}")
        return [
            f"{where[0]}{f' and {len(where) - 1} more' * (len(where) > 1)}: {note}"
            for note, where in reasons.items()
        ]


def certify(
    rnn: Any,
    kind: str | None = None,
    *,
    layout: Layout | None = None,
    weights: Sequence[Array] | None = None,
    backward: Callable | None = None,
    framework: str = "tensorflow",
    input_size: int = 5,
    units: int = 8,
    dtype: str = "float32",
    execution: str = "eager",
    cases: Sequence[str] = (),
    long: int = LONG,
    tolerance: float | None = None,
    seed: int = 0,
    show: bool = True,
) -> Certificate:
    """Checks a recurrent layer against the float64 equations.

    Outputs, the gradients of a loss with respect to inputs, initial states and weights,
    and the Hessian of that loss times a random direction, each compared with
    `kerasdl.certification.reference`: with initial states and without, one step, one
    sample, four kinds of masks, saturated gates, a long sequence. The weights are drawn;
    the layer has its own again afterwards. Outputs are taken from the second of two calls
    with different inputs, so a state that leaks from call to call is found.

    An error passes up to 16 times what the plain equations lose in the layer's precision
    at the same point, or 16 units in the last place if that is more.

    Args:
        rnn: A Keras layer (LSTM, GRU, SimpleRNN, `keras.layers.RNN` of their cells, any
            layer called alike), a `torch.nn` module (one layer, one direction), the path
            of a `.tflite` file, or a function
            `(x, states, weights, mask) -> (sequence, *last states)` with x (N, T, D), a
            list of states (N, H), a list of weights, and mask (N, T) or None. Masked
            steps keep the state and repeat the output before them.
        kind: `lstm`, `gru` (Keras's `reset_after`), `gru_reset_before` or `simple_rnn`;
            None to tell from the layer's class.
        layout: How the weights are laid out; None for the framework's own layout.
        weights: Of a `.tflite` file alone: the layer's arrays, in that layout.
        backward: Of a NumPy function: `(x, states, weights, mask, gradients of the
            outputs) -> [∂x, *∂states, *∂weights]`.
        framework: Of a function: `tensorflow` or `numpy`.
        input_size: D, for a layer that is not built, or a function.
        units: H, for a function.
        dtype: Of what a function is given.
        execution: Of Keras layers and functions of tensors: `eager`, `graph` or `xla`.
        cases: The names of the cases to run; all by default.
        long: T of the long sequence.
        tolerance: The largest relative error that passes, in the place of the limits
            above; for quantised files.
        seed: Of all draws.
        show: Whether to print the table.

    Returns:
        A `Certificate`: `passed`, `rows`, `failures`, and the table as its `str`.

    Raises:
        ValueError: An argument is none of the above, or does not fit the others.

    Example:

    >>> import keras, kerasdl
    >>> kerasdl.certify(keras.layers.LSTM(8), long=20, show=False).passed
    True
    """
    network = None if kind is None else _network(kind)
    subject = _subject(
        rnn, network, layout, weights, backward, framework, input_size, units, dtype,
        execution,
    )  # fmt: skip
    subject.layout.check(subject.network)
    chosen = standard_cases(*subject.sizes, long)
    known = [case.name for case in chosen]
    for name in cases:
        if name not in known:
            raise ValueError(
                "Received an invalid value for argument `cases`, expected some of "
                f"{', '.join(known)}, got {name!r}."
            )
    if not subject.takes_states:  # all but the first case, which asks for them
        chosen[1:] = [dataclasses.replace(c, with_states=False) for c in chosen[1:]]
    chosen = [case for case in chosen if not cases or case.name in cases]
    with subject.borrowed():
        rows = [row for case in chosen for row in _rows(subject, case, tolerance, seed)]
    certificate = Certificate(
        f"{subject.name} ({subject.network.name}, D = {subject.input_size}, "
        f"H = {subject.units}, {subject.dtype})",
        tuple(rows),
    )
    if show:
        print(certificate)
    return certificate


def _network(kind: str) -> Network:
    if kind not in NETWORKS:
        raise ValueError(
            "Received an invalid value for argument `kind`, expected one of "
            f"{', '.join(NETWORKS)}, got {kind!r}."
        )
    return NETWORKS[kind]


def _subject(
    rnn, network, layout, weights, backward, framework, input_size, units, dtype,
    execution,
) -> Subject:  # fmt: skip
    """Puts `rnn` behind the interface of its framework, which alone is imported."""
    bases = {c.__module__.split(".")[0] for c in type(rnn).__mro__}
    if isinstance(rnn, (str, os.PathLike)):
        if network is None or weights is None:
            missing = "kind" if network is None else "weights"
            raise ValueError(
                f"Received an invalid value for argument `{missing}`, expected that of "
                f"the layer in the file {os.fspath(rnn)!r}, got None."
            )
        from kerasdl.certification.litert_subjects import LiteRTFile

        return LiteRTFile(rnn, network, layout or keras_layout(network), weights)
    if "torch" in bases:
        from kerasdl.certification.torch_subjects import TorchModule

        return TorchModule(rnn, network, layout)
    if "keras" in bases:
        from kerasdl.certification.tensorflow_subjects import KerasLayer

        return KerasLayer(rnn, network, layout, input_size, execution)
    if not callable(rnn):
        raise ValueError(
            "Received an invalid value for argument `rnn`, expected a Keras layer, a "
            f"torch module, the path of a .tflite file or a function, got {rnn!r}."
        )
    if network is None:
        raise ValueError(
            "Received an invalid value for argument `kind`, expected one of "
            f"{', '.join(NETWORKS)} for a function, got None."
        )
    rest = (network, layout or keras_layout(network), dtype, input_size, units)
    if framework == "numpy":
        return NumpyFunction(rnn, backward, *rest)
    if framework != "tensorflow":
        raise ValueError(
            "Received an invalid value for argument `framework`, expected tensorflow or "
            f"numpy, got {framework!r}."
        )
    from kerasdl.certification.tensorflow_subjects import TensorFlowFunction

    return TensorFlowFunction(rnn, *rest, execution)


def _rows(
    subject: Subject, case: Case, tolerance: float | None, seed: int
) -> Iterator[Row]:
    """The rows of one case, in the order of `QUANTITIES`."""
    kind = np.dtype(getattr(ml_dtypes, subject.dtype, subject.dtype))
    problem, other = (
        draw_problem(
            *(case, subject.network, subject.layout, subject.input_size, subject.units),
            *(kind, draw, subject.weights),
        )
        for draw in (seed, seed + 1)
    )
    given = case.with_states
    options = (subject.network, problem, subject.zero_masked, subject.reverse)
    outputs, truth = reference.first_derivatives(*options)
    plain_options = (subject.network, problem.astype(np.float32), *options[2:])
    plain_outputs, plain_truth = reference.first_derivatives(*plain_options)
    output_names, names = reference.names(subject.network)
    names = [f"∂L/∂{name}" for name in names[: -len(problem.weights)]]
    names = [names[0], *(names[1:] if given else [])]
    names += [f"∂L/∂{name}" for name in subject.layout.names()]

    def answers():
        subject.outputs(other, bool(case.mask), given)
        return subject.outputs(problem, bool(case.mask), given)

    def compare(quantity, ask, true, plain, names):
        try:
            found = ask()
        except NotGivenError as error:
            return Row(case.name, quantity, note=_line(error))
        except Exception as error:  # whatever a stranger's layer raises is its answer
            note = f"{type(error).__name__}: {_line(error)}"
            return Row(case.name, quantity, note=note, raised=True)
        limits = [
            tolerance or _limit(t, p, kind) for t, p in zip(true, plain, strict=True)
        ]
        return _worst(case.name, quantity, names, found, true, limits)

    yield compare("outputs", answers, outputs, plain_outputs, output_names)
    for order, quantity in enumerate(QUANTITIES[1:], start=1):
        if order > subject.order:
            yield Row(case.name, quantity, note=f"{subject.name} gives none")
            continue
        if order == 2:
            truth = reference.second_derivatives(*options)
            plain_truth = reference.second_derivatives(*plain_options)
            names = [f"(H v) of {name.removeprefix('∂L/∂')}" for name in names]
        yield compare(
            quantity,
            lambda order=order: subject.derivatives(
                problem, bool(case.mask), given, order
            ),
            subject.own(truth, given),
            subject.own(plain_truth, given),
            names,
        )


def _relative(found: Array, true: Array) -> float:
    """‖found − true‖ / ‖true‖; the numerator alone if the truth is 0; ∞ for NaN."""
    norm = np.linalg.norm(true)
    error = np.linalg.norm(np.asarray(found, np.float64) - true) / (norm or 1.0)
    return float(error) if np.isfinite(error) else np.inf


def _limit(true: Array, plain: Array, kind: np.dtype) -> float:
    """The largest relative error that passes, for one array."""
    unit = float(ml_dtypes.finfo(kind).eps)
    lost = _relative(plain, true) * unit / float(np.finfo(np.float32).eps)
    return LOSS * max(lost, unit)


def _worst(case, quantity, names, found, true, limits) -> Row:
    """The row of the array that is nearest to its limit, or furthest beyond."""
    if len(found) != len(true):
        note = f"expected {len(true)} arrays ({', '.join(names)}), got {len(found)}"
        return Row(case, quantity, note=note, raised=True)
    rows = []
    for name, value, expected, limit in zip(names, found, true, limits, strict=True):
        if value is None:
            continue
        if np.shape(value) != expected.shape:
            note = f"{name} should be {expected.shape}, got {np.shape(value)}"
            return Row(case, quantity, note=note, raised=True)
        rows.append(Row(case, quantity, name, _relative(value, expected), limit))
    return max(rows, key=lambda row: row.error / row.limit)


def _cell(row: Row) -> str:
    if row.raised:
        return "FAILS: raises"
    if not row.measured:
        return "—"
    return f"{row.error:.1e} / {row.limit:.0e}{'' if row.passed else ' FAILS'}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
