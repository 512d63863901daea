"""The signatures `train`, `weights` and `load`: a model that learns on a device.

`train(x, y) -> loss` is one step of the optimiser on the loss, by the derived backward
pass in built-in operations. It runs without dropout, and with the statistics of batch
normalisation as they are.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.export import forms
from kerasdl.export.comparison import Tolerance
from kerasdl.export.proof import Case
from kerasdl.export.static_gradients import static_gradients
from kerasdl.export.subject import SERVING, Export, Request
from kerasdl.layers import emissions_in_buffers, steps_written_out

if TYPE_CHECKING:
    from kerasdl.export.keras_model import KerasModel

TRAIN, WEIGHTS, LOAD = "train", "weights", "load"
# Steps that are compared with Keras's, and the samples of each.
STEPS, SAMPLES = 30, 4
# Of a loss, a weight or an answer after those steps, a share of its range: 30 steps in
# float32 against float64. Adam makes a step of each gradient, also of one that is 0 but
# for rounding, so weights differ then and are not compared.
DIFFERENCE, ADAM_DIFFERENCE = 1e-3, 3e-2
_OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(),
    "momentum": lambda: keras.optimizers.SGD(momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(),
}


class Update:
    """The update of an optimiser of Keras as assignments to plain variables.

    With g the gradient of w, t the number of steps and η the rate:

        SGD    w ← w − η g;  with momentum  m ← µ m − η g,  w ← w + m
               (Nesterov: w ← w + µ m − η g)
        Adam   m ← m + (1 − β₁)(g − m),  v ← v + (1 − β₂)(g² − v),
               w ← w − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    References: Sutskever et al., 2013; Kingma and Ba, 2015, as Keras computes them.

    Args:
        optimizer: A name, or an SGD or Adam of Keras with a constant rate.

    Raises:
        InputError: It is another, or has an option that is not known here.
    """

    def __init__(self, optimizer: Any) -> None:
        if isinstance(optimizer, str) and optimizer in _OPTIMIZERS:
            optimizer = _OPTIMIZERS[optimizer]()
        if type(optimizer) not in (keras.optimizers.SGD, keras.optimizers.Adam):
            raise InputError(
                f"`optimizer` must be {', '.join(_OPTIMIZERS)}, or a keras.optimizers "
                f"SGD or Adam, got {getattr(optimizer, 'name', optimizer)!r}."
            )
        self.config = optimizer.get_config()
        if not isinstance(self.config["learning_rate"], float):
            raise InputError("`optimizer` must have a constant learning_rate.")
        for option in (
            *("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema"),
            *("loss_scale_factor", "gradient_accumulation_steps", "amsgrad"),
        ):
            if self.config.get(option):
                raise InputError(
                    f"`optimizer`: {option} is not available on a device, got "
                    f"{self.config[option]!r}."
                )
        self.is_adam = isinstance(optimizer, keras.optimizers.Adam)
        kinds = ["m", "v"] if self.is_adam else ["momentum"]
        self.kinds = kinds if self.is_adam or self.config["momentum"] else []

    def again(self) -> keras.optimizers.Optimizer:
        """A fresh optimiser of Keras of the same settings."""
        kind = keras.optimizers.Adam if self.is_adam else keras.optimizers.SGD
        return kind.from_config(self.config)

    def slots(self, variables: Mapping[str, tf.Variable]) -> dict[str, tf.Variable]:
        """What the optimiser remembers, zero at first, by name."""
        result = {
            f"{name}_{kind}": tf.Variable(tf.zeros_like(variable))
            for name, variable in variables.items()
            for kind in self.kinds
        }
        return result | ({"optimizer_steps": tf.Variable(0.0)} if self.is_adam else {})

    def assign(
        self,
        variables: Mapping[str, tf.Variable],
        gradients: list[tf.Tensor],
        slots: Mapping[str, tf.Variable],
    ) -> None:
        """Takes one step."""
        rate = self.config["learning_rate"]
        if self.is_adam:
            beta_1, beta_2 = self.config["beta_1"], self.config["beta_2"]
            t = slots["optimizer_steps"] + 1.0
            slots["optimizer_steps"].assign(t)
            rate *= tf.sqrt(1 - tf.pow(beta_2, t)) / (1 - tf.pow(beta_1, t))
        for (name, w), g in zip(variables.items(), gradients, strict=True):
            if self.is_adam:
                m, v = slots[f"{name}_m"], slots[f"{name}_v"]
                new_m = m + (1 - beta_1) * (g - m)
                new_v = v + (1 - beta_2) * (g * g - v)
                m.assign(new_m)
                v.assign(new_v)
                step = -rate * new_m / (tf.sqrt(new_v) + self.config["epsilon"])
            elif self.kinds:
                momentum = slots[f"{name}_momentum"]
                step = self.config["momentum"] * momentum - rate * g
                momentum.assign(step)
                if self.config["nesterov"]:
                    step = self.config["momentum"] * step - rate * g
            else:
                step = -rate * g
            w.assign(w + step)


def add_train(
    export: Export, subject: "KerasModel", model: keras.Model, request: Request
) -> None:
    """Adds `train`, `weights` and `load`, and calls of them, to an export.

    Args:
        export: What they are added to; its weights stay variables.
        subject: The model.
        model: The copy whose weights the export holds and trains.
        request: `loss` and `optimizer`; by default those that the model was compiled
            with.

    Raises:
        InputError: A layer, the loss or the optimiser cannot be trained on a device.
    """
    from kerasdl.export.keras_model import concrete, unique

    if request.quantize != "none":
        raise InputError(
            "signatures: 'train' needs float32 weights, --quantize=none; got "
            f"{request.quantize!r}."
        )
    if len(subject.outputs) != 1:
        raise InputError(
            "signatures: 'train' needs a model of one output (a keras.Model of the same "
            f"inputs and one of them), got {', '.join(subject.outputs)}."
        )
    loss_name, loss = _loss(request, subject.model)
    update = Update(
        request.optimizer or getattr(subject.model, "optimizer", None) or "adam"
    )
    learner = forms.rebuilt(model, forms=True, change=forms.quieten)
    if not learner.trainable_variables:
        raise InputError("signatures: 'train' needs a layer that is trainable.")
    for layer in forms.layers_of(learner):
        if "Conv" in type(layer).__name__ and layer.trainable_weights:
            raise InputError(
                f"signatures: 'train' has no gradient in built-in operations for the "
                f"convolution {layer.name!r}; set its `trainable` to False, and that of "
                "the layers before it."
            )
    context = _context(export.strategy, learner, subject)
    call = subject.caller(learner, training=True)
    places = {id(v): k for k, v in enumerate(learner.weights)}
    chosen = [model.weights[places[id(v)]] for v in learner.trainable_variables]
    names = unique([v.path for v in chosen])
    variables = {n: v.value for n, v in zip(names, chosen, strict=True)}
    slots = update.slots(variables)
    kept = variables | slots
    export.module.slots = list(slots.values())
    (output,) = subject.outputs
    y_spec = _target(loss_name, learner.outputs[0].shape)

    def train(y, **inputs):
        values = [tf.convert_to_tensor(variable) for variable in model.weights]
        scope = keras.StatelessScope(zip(learner.weights, values, strict=True))
        with static_gradients(), scope:
            total = loss(y, call(**inputs)[output])
            for regularizer in learner.losses:
                total += regularizer
        wanted = [values[places[id(v)]] for v in learner.trainable_variables]
        gradients = tf.gradients(total, wanted)
        unused = [n for n, g in zip(names, gradients, strict=True) if g is None]
        if unused:
            raise InputError(f"signatures: the loss does not reach {unused[0]!r}.")
        update.assign(variables, list(map(tf.convert_to_tensor, gradients)), slots)
        return {"loss": total}

    def load(**values):
        for name, value in values.items():
            kept[name].assign(value)
        return {"loaded": tf.constant(len(kept))}

    specs = {
        name: tf.TensorSpec(spec.shape, spec.dtype)
        for name, spec in export.signatures[SERVING].structured_input_signature[1].items()
    }
    with context():
        try:
            export.signatures[TRAIN] = concrete(train, specs | {"y": y_spec})
        except (LookupError, NotImplementedError) as error:
            raise InputError(
                f"signatures: 'train' has no gradient in built-in operations for "
                f"{error}; set `trainable` of the layers before it to False."
            ) from error
    export.module.read = tf.function(
        lambda: {name: tf.identity(variable) for name, variable in kept.items()},
        input_signature=[],
    )
    export.signatures[WEIGHTS] = export.module.read
    states = {name: tf.TensorSpec(v.shape, v.dtype) for name, v in kept.items()}
    export.signatures[LOAD] = concrete(load, states)
    export.variables = True
    export.notes["learns"] = {
        "loss": loss_name,
        "optimizer": update.config,
        "weights": names,
    }
    close = Tolerance(1.0, ADAM_DIFFERENCE if update.is_adam else DIFFERENCE)
    export.tolerances |= {SERVING: close, TRAIN: close, WEIGHTS: close, LOAD: close}
    _add_cases(export, subject, loss, update, variables, slots, y_spec)


def _loss(request: Request, model: keras.Model) -> tuple[str, Callable]:
    """The name of the loss, and the function of targets and outputs."""
    given = request.loss or (model.loss if getattr(model, "compiled", False) else None)
    if given is None:
        raise InputError(
            "signatures: 'train' needs `loss` (--loss), or a compiled model, got neither."
        )
    try:
        loss = keras.losses.get(given)
    except ValueError as error:
        raise InputError(f"`loss` must be a loss of Keras, got {given!r}.") from error
    name = loss.name if isinstance(loss, keras.losses.Loss) else loss.__name__
    function = loss
    if not isinstance(loss, keras.losses.Loss):

        def function(y, output):
            return keras.ops.mean(loss(y, output))

    if name != "sparse_categorical_crossentropy":
        return name, function
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    if config.get("ignore_class") is not None:
        raise InputError(
            "`loss`: ignore_class is not available on a device, got "
            f"{config['ignore_class']}."
        )
    # LiteRT has no operation for it; the same of classes written as vectors has.
    dense = keras.losses.CategoricalCrossentropy(config.get("from_logits", False))
    return name, lambda y, output: dense(tf.one_hot(y, output.shape[-1]), output)


def _context(strategy: str, learner: keras.Model, subject: "KerasModel"):
    """How the loops of `train` are written, whatever those of inference are."""
    looped = [x for x in forms.layers_of(learner) if isinstance(x, forms.Looped)]
    if strategy == "unrolled" or not looped:
        return steps_written_out if strategy == "unrolled" else emissions_in_buffers
    if any(learner.inputs[k].shape[1] is None for k in _timed_places(subject)):
        raise InputError(
            f"signatures: 'train' needs a known length for the layer {looped[0].name!r}, "
            "whose gradient is no loop of kerasdl: name it by `steps` (--steps)."
        )
    return steps_written_out


def _timed_places(subject: "KerasModel") -> list[int]:
    timed = subject.timed()
    return [k for k, name in enumerate(subject.inputs) if name in timed]


def _target(loss: str, shape: tuple) -> tf.TensorSpec:
    if "sparse" in loss:
        return tf.TensorSpec(shape[:-1], tf.int32)
    return tf.TensorSpec(shape, tf.float32)


def _add_cases(export, subject, loss, update, variables, slots, y_spec) -> None:
    """30 steps on a few samples, by Keras in float64 and on the device; then back."""
    first = export.cases[0]
    specs = export.signatures[SERVING].structured_input_signature[1]
    samples = next(iter(specs.values())).shape[0] or SAMPLES
    rng = np.random.default_rng(2)
    batches = []
    for _ in range(2):
        x = {name: _varied(value, samples, rng) for name, value in first.inputs.items()}
        batches.append((x, _drawn_target(y_spec, samples, x, subject, rng)))
    model = forms.rebuilt(
        subject.model, forms=False, dtype="float64", change=forms.quieten
    )
    call = subject.caller(model, training=True)
    optimizer = update.again()
    (output,) = subject.outputs

    @tf.function(autograph=False)
    def evaluate(tensors, y):
        with tf.GradientTape() as tape:
            total = loss(y, call(**tensors)[output])
            total += sum(tf.cast(extra, total.dtype) for extra in model.losses)
        return total, tape.gradient(total, [v.value for v in model.trainable_variables])

    initial = {name: variable.numpy() for name, variable in variables.items()}
    zeros = {name: slot.numpy() for name, slot in slots.items()}
    export.cases.append(Case(WEIGHTS, {}, initial))
    for step in range(STEPS):
        x, y = batches[step % 2]
        tensors = {
            n: tf.constant(v.astype("float64") if v.dtype.kind == "f" else v)
            for n, v in x.items()
        }
        total, gradients = evaluate(tensors, tf.constant(y))
        optimizer.apply(gradients, model.trainable_variables)
        expected = {"loss": np.asarray(total.numpy())}
        export.cases.append(Case(TRAIN, {**x, "y": y}, expected))
    after = {
        name: value.numpy()
        for name, value in zip(variables, model.trainable_variables, strict=True)
    }
    answer = subject.caller(model)(
        **{
            n: tf.constant(v.astype("float64") if v.dtype.kind == "f" else v)
            for n, v in first.inputs.items()
        }
    )
    learned = {name: value.numpy() for name, value in answer.items()}
    export.cases += [
        Case(SERVING, first.inputs, learned),
        Case(WEIGHTS, {}, {} if update.is_adam else after),
        Case(LOAD, initial | zeros, {}),
        first,
        Case(TRAIN, {**batches[0][0], "y": batches[0][1]}, export.cases[-STEPS].expected),
    ]


def _varied(value: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """As many samples like the one given."""
    if value.dtype.kind == "f":
        return rng.normal(0, 1, (samples, *value.shape[1:])).astype(value.dtype)
    return rng.choice(value.reshape(-1), (samples, *value.shape[1:]))


def _drawn_target(y_spec, samples, x, subject, rng) -> np.ndarray:
    """Targets of the right shape: classes, shares that sum to 1, or numbers in 0..1."""
    steps = [v.shape[1] for n, v in x.items() if n in subject.timed()]
    shape = [samples, *(side or (steps or [1])[0] for side in y_spec.shape[1:])]
    if y_spec.dtype == tf.int32:
        return rng.integers(0, subject.model.outputs[0].shape[-1], shape).astype("int32")
    values = rng.integers(0, 2, shape).astype("float32")
    if shape[-1] > 1:
        classes = rng.integers(0, shape[-1], shape[:-1])
        values = np.eye(shape[-1], dtype="float32")[classes]
    return values
