"""Gradual unfreezing: the head is trained first, then one group of layers more at a time.

Source: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification,
2018, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kerasdl.models.layer_groups import layer_groups
from kerasdl.tensorflow_private import trained_variables
from kerasdl.tuning.optimizers import inner_optimizer

Groups = Sequence[Sequence[keras.layers.Layer]]


def train_last(groups: Groups, count: int) -> bool:
    """Makes the layers of the last `count` groups trainable, and those before them not.

    Returns:
        Whether this changed any layer.
    """
    changed = False
    for index, group in enumerate(groups):
        trainable = index >= len(groups) - count
        for layer in group:
            changed |= layer.trainable != trainable
            layer.trainable = trainable
    return changed


class GradualUnfreezing(keras.callbacks.Callback):
    """Trains the last group of layers, and one group more every few epochs.

    Compile the model with all of these layers trainable, so that the optimizer has a
    state for each; the callback freezes them when training begins. A frozen
    BatchNormalization layer keeps its statistics.

    Args:
        groups: Layers, the group nearest the input first; `layer_groups` of the model if
            it is None.
        epochs_per_group: Epochs after which the next group joins.

    Raises:
        ValueError: `epochs_per_group` is not positive; or, when training begins, the
            optimizer knows nothing of a layer, or a layer lies in a frozen model.

    Example:

    ```python
    model.fit(x, y, epochs=6, callbacks=[kerasdl.tuning.GradualUnfreezing()])
    ```
    """

    def __init__(self, groups: Groups | None = None, epochs_per_group: int = 1) -> None:
        super().__init__()
        if epochs_per_group < 1:
            raise ValueError(
                "Received an invalid value for argument `epochs_per_group`, expected a "
                f"positive integer, got {epochs_per_group}."
            )
        self.groups = groups
        self.epochs_per_group = epochs_per_group

    def on_train_begin(self, logs=None) -> None:
        """Checks that every layer can be trained."""
        del logs
        model = self.model
        if self.groups is None:
            self.groups = layer_groups(model)
        train_last(self.groups, len(self.groups))
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        optimizer = inner_optimizer(model.optimizer)
        known = {id(variable) for variable in trained_variables(optimizer)}
        reached = {id(variable) for variable in model.trainable_variables}
        for layer in (layer for group in self.groups for layer in group):
            own = {id(variable) for variable in layer.trainable_variables}
            if not own <= reached:
                raise ValueError(
                    f"GradualUnfreezing cannot train the layer {layer.name!r}: a model "
                    "that holds it is frozen; set that model's `trainable` to True."
                )
            if not own <= known:
                raise ValueError(
                    f"GradualUnfreezing cannot train the layer {layer.name!r}: it was "
                    "frozen when the optimizer was built; compile the model with it "
                    "trainable."
                )

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        """Adds the group whose turn it is."""
        del logs
        if train_last(self.groups, trained_groups(epoch, self.epochs_per_group)):
            # What is trained is part of the graph of a training step.
            self.model.make_train_function(force=True)


def trained_groups(epoch: int, epochs_per_group: int) -> int:
    """How many groups are trained in an epoch, counted from 0, if there are so many."""
    return 1 + epoch // epochs_per_group
