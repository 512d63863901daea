"""Optimising one picture at one scale by SciPy's L-BFGS."""

import time

import numpy as np
import tensorflow as tf
from scipy import optimize

from kerasdl.style.descent import Observer, StyleState, clamp_range
from kerasdl.style.objective import StyleObjective
from kerasdl.style.options import StyleOptions

# SciPy keeps L-BFGS's memory to itself, so it is started anew every so many iterations,
# and a resumed run replays from the last such point to the same bits.
LBFGS_SEGMENT = 100
LBFGS_MEMORY = 10


class LbfgsDescent:
    """SciPy's L-BFGS around one compiled loss-and-gradient.

    Byrd, Lu, Nocedal and Zhu, 1995, without bounds: searching them took a second an
    iteration for 150,000 values. The picture is clamped where L-BFGS is started anew and
    at the end instead. SciPy works in float64 on the host; the network in float32 where
    TensorFlow puts it.

    Args:
        objective: What is minimised.
        options: Clamping, way of compiling.
        state: Where to start.
        iterations: Of this scale; fewer are taken if no step improves the loss.
    """

    def __init__(
        self,
        objective: StyleObjective,
        options: StyleOptions,
        state: StyleState,
        iterations: int,
    ) -> None:
        self._evaluate = tf.function(
            objective.losses_and_gradient, jit_compile=options.compile == "xla"
        )
        self._options = options
        self._iterations = iterations
        self._iteration = state.iteration
        self._before = state
        self.image = state.image
        self.image = self._clamped()
        self._boundary = (state.iteration, self.image)
        self._losses: tf.Tensor | None = None
        self._started = time.monotonic()

    def _clamped(self) -> np.ndarray:
        return np.clip(self.image, *clamp_range(self._options))

    def _value_and_gradient(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        image = tf.constant(flat.reshape(self.image.shape), tf.float32)
        self._losses, gradient = self._evaluate(image)
        return float(self._losses[0]), gradient.numpy().ravel().astype(np.float64)

    def run(self, observe: Observer) -> bool:
        """Takes the iterations that are left; returns whether all were taken."""
        stopped = False

        def after_iteration(intermediate_result: optimize.OptimizeResult) -> None:
            nonlocal stopped
            self._iteration += 1
            flat = intermediate_result.x.reshape(self.image.shape)
            self.image = flat.astype(np.float32)
            if self._iteration < self._iterations and observe(
                self._iteration, self._losses
            ):
                stopped = True
                raise StopIteration

        if self._iteration == 0:
            losses, _ = self._evaluate(tf.constant(self.image))
            stopped = observe(0, losses)
        while self._iteration < self._iterations and not stopped:
            self.image = self._clamped()
            self._boundary = (self._iteration, self.image)
            optimize.minimize(
                self._value_and_gradient,
                self.image.ravel().astype(np.float64),
                jac=True,
                method="L-BFGS-B",
                callback=after_iteration,
                options={
                    "maxiter": min(LBFGS_SEGMENT, self._iterations - self._iteration),
                    "maxfun": 20 * LBFGS_SEGMENT,
                    "maxcor": LBFGS_MEMORY,
                    "ftol": 0.0,
                    "gtol": 0.0,
                },
            )
            if self._iteration == self._boundary[0]:
                break  # no step along the gradient lowers the loss in float32
        if not stopped:
            self.image = self._clamped()
        return not stopped

    @property
    def current(self) -> tf.Tensor:
        """`image` on the device."""
        return tf.convert_to_tensor(self.image)

    @property
    def _seconds(self) -> float:
        if self._iteration == self._before.iteration:
            return self._before.seconds
        return self._before.seconds + time.monotonic() - self._started

    @property
    def state(self) -> StyleState:
        """Where to go on from: the last point at which L-BFGS was started."""
        return self.release()

    def release(self) -> StyleState:
        """`state`."""
        iteration, image = self._boundary
        return StyleState(
            scale=self._before.scale,
            iteration=iteration,
            image=image,
            moments=np.zeros((2, *image.shape), np.float32),
            seconds=self._seconds,
        )
