"""Discriminative learning rates: layers near the input learn more slowly.

    rate(group g of G) = rate * decay^(G - 1 - g)

Source: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification,
2018, section 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerasdl.models.layer_groups import layer_groups
from kerasdl.tensorflow_private import is_decayed, variable_index


def layer_rates(
    model: keras.Model,
    decay: float,
    groups: Sequence[Sequence[keras.layers.Layer]] | None = None,
) -> list[float]:
    """The factor of the learning rate for each variable that a model trains.

    Args:
        model: Built, with the layers frozen that are to be frozen.
        decay: What the rate of a group is to that of the next; above 0.
        groups: Layers, the group nearest the input first; `layer_groups` of the model if
            it is None. Those of the last group, and of none, have the factor 1.

    Returns:
        In the order of `model.trainable_variables`.

    Raises:
        ValueError: `decay` is not positive.
    """
    if not decay > 0:
        raise ValueError(
            "Received an invalid value for argument `decay`, expected a positive number, "
            f"got {decay}."
        )
    groups = layer_groups(model) if groups is None else groups
    factors = {
        id(variable): float(decay) ** (len(groups) - 1 - index)
        for index, group in enumerate(groups)
        for layer in group
        for variable in layer.trainable_variables
    }
    return [factors.get(id(variable), 1.0) for variable in model.trainable_variables]


@keras.saving.register_keras_serializable(package="kerasdl")
class DiscriminativeOptimizer(keras.optimizers.Optimizer):
    """Any Keras optimizer with a learning rate of its own for each variable.

    The update of a variable, its decoupled weight decay included, is that of
    `inner_optimizer` at its rate (a number or a schedule) times the variable's factor.

    Args:
        inner_optimizer: For instance `keras.optimizers.AdamW(1e-3)`, not built yet.
        rates: A factor for each of the model's trainable variables, in their order, not
            negative; `layer_rates` gives them.
        name: Of this optimizer.

    Raises:
        ValueError: A factor is negative; or, when it is built, their number is not
            that of the variables.

    Example:

    ```python
    optimizer = kerasdl.tuning.DiscriminativeOptimizer(
        keras.optimizers.AdamW(1e-3), kerasdl.tuning.layer_rates(model, decay=0.5)
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    ```
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        rates: Sequence[float],
        name: str = "discriminative_optimizer",
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        for factor in rates:
            if not factor >= 0:
                raise ValueError(
                    "Received an invalid value for argument `rates`, expected factors of "
                    f"at least 0, got {factor}."
                )
        self.inner_optimizer = inner_optimizer
        self._rates = tuple(map(float, rates))
        self._inner_step = inner_optimizer.update_step
        # Keras calls these two for every variable, or for all, with one rate.
        inner_optimizer.update_step = self._scaled_step
        inner_optimizer._apply_weight_decay = lambda variables: None

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the state of `inner_optimizer` for these variables."""
        if self.built:
            return
        if len(variables) != len(self._rates):
            raise ValueError(
                "Received an invalid value for argument `rates`, expected a factor for "
                f"each of the {len(variables)} trainable variables, got "
                f"{len(self._rates)}."
            )
        self.inner_optimizer.build(variables)
        self.built = True

    def _scaled_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """What `inner_optimizer` does with one variable, at the variable's rate."""
        inner = self.inner_optimizer
        factor = self._rates[variable_index(inner, variable)]
        rate = keras.ops.cast(learning_rate, variable.dtype) * factor
        if inner.weight_decay is not None and is_decayed(inner, variable):
            inner.assign_sub(variable, variable * inner.weight_decay * rate)
        self._inner_step(gradient, variable, rate)

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Updates variables by their gradients."""
        if not self.built and trainable_variables is not None:
            self.build(list(trainable_variables))
        self.inner_optimizer.apply(grads, trainable_variables)

    def scale_loss(self, loss: Any) -> Any:
        """The loss as `inner_optimizer` scales it."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """What `inner_optimizer` does after training, such as taking averages."""
        self.inner_optimizer.finalize_variable_values(var_list)

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of `inner_optimizer`."""
        return self.inner_optimizer.variables

    @property
    def iterations(self) -> keras.Variable:
        """The steps taken."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The rate of a variable of factor 1; it can be set if it is no schedule."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "rates": list(self._rates),
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> DiscriminativeOptimizer:
        """The optimizer that `get_config` described."""
        inner = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "inner_optimizer": inner})
