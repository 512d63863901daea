"""Adam in one kernel a variable."""

from __future__ import annotations

import keras
import tensorflow as tf


class _OneKernel:
    """Updates a variable by TensorFlow's kernel instead of ten operations.

    The equations are those of Keras (Kingma and Ba 2015, the form before section 2.1);
    each value is read and written once: a quarter of the time of a large table.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Updates a variable and its moments; called by `apply_gradients`."""
        if self.amsgrad:  # not among the kernel's equations
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
        # `tf.cast` of a Python number would round it to float32 first.
        beta_1, beta_2, epsilon = (
            tf.constant(value, dtype)
            for value in (self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )


@keras.saving.register_keras_serializable(package="kerasdl")
class Adam(_OneKernel, keras.optimizers.Adam):
    """`keras.optimizers.Adam`."""


@keras.saving.register_keras_serializable(package="kerasdl")
class AdamW(_OneKernel, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`."""


def _handle(variable):
    if isinstance(variable, keras.Variable):
        variable = variable.value
    return variable.handle
