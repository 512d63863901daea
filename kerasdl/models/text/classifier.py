"""The base of all text classifiers: sizes, probabilities of logits, the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from kerasdl.data.decisions import Decision


class TextClassifier(keras.Model):
    """Scores the classes of a sentence given as token ids.

    Two classes have one logit, the second's log-odds (a sigmoid); more have one each (a
    softmax). If a sentence can have several labels, each has a logit (a sigmoid).

    Args:
        vocabulary_size: V, the number of ids.
        classes: K, at least 2.
        multi_label: whether a sentence can have several of the K labels, or none.
        temperature: T, by which `probabilities` divides the logits; above 0.
        thresholds: of `decision`, K numbers between 0 and 1, or none.

    Attributes:
        decision: how probabilities become labels.

    Call arguments:
        ids: int (N, T), padding (id 0) after the last token. What stands at padding has
            no influence, nor has the length of the padding.
        training: whether dropout applies.

    Returns:
        logits, float (N, 1) for two classes of which a sentence has one, else (N, K).

    Raises:
        ValueError: a size out of its range.
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int = 2,
        multi_label: bool = False,
        temperature: float = 1.0,
        thresholds: Sequence[float] = (),
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, least in (
            ("vocabulary_size", vocabulary_size, 2),
            ("classes", classes, 2),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"Received an invalid value for argument `{name}`, expected an "
                    f"integer of {least} or more, got {value!r}."
                )
        self.vocabulary_size = vocabulary_size
        self.classes = classes
        self.calibrate(temperature, Decision(multi_label, tuple(thresholds)))

    def calibrate(self, temperature: float, decision: Decision) -> None:
        """Sets what turns logits into probabilities, and these into labels.

        Graphs that were traced before keep what they had.

        Raises:
            ValueError: A number is out of its range, or there are not K thresholds.
        """
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(
                "Received an invalid value for argument `temperature`, expected a number "
                f"above 0, got {temperature!r}."
            )
        thresholds = decision.thresholds
        within = all(0 < threshold < 1 for threshold in thresholds)
        if len(thresholds) not in (0, self.classes) or not within:
            raise ValueError(
                "Received an invalid value for argument `thresholds`, expected none or "
                f"{self.classes} numbers between 0 and 1, got {thresholds!r}."
            )
        self.temperature = float(temperature)
        self.decision = decision

    @property
    def multi_label(self) -> bool:
        """Whether a sentence can have several labels, or none."""
        return self.decision.multi_label

    @property
    def outputs_per_sentence(self) -> int:
        """How many logits a sentence has."""
        return 1 if self.classes == 2 and not self.multi_label else self.classes

    def build(self, input_shape=None) -> None:
        """Creates all weights, by a sentence of one token.

        Keras would trace a call instead, and TensorFlow never frees a trace: each model
        that is loaded would keep a megabyte.
        """
        self.call(tf.ones((1, 1), tf.int32), training=False)

    def create_weights(self) -> None:
        """Creates all weights."""
        self(tf.ones((1, 1), tf.int32))

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """Logits as the probability of each class, float (N, K)."""
        if self.temperature != 1.0:
            logits = logits / self.temperature
        if self.multi_label:
            return tf.sigmoid(logits)
        if self.classes == 2:
            return tf.concat([tf.sigmoid(-logits), tf.sigmoid(logits)], axis=1)
        return tf.nn.softmax(logits)

    def classification_loss(
        self, logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """Cross-entropy, averaged over the sentences, in nats.

        Of several labels it is the binary one of each, averaged over the labels too.

        Args:
            logits: as `call` returns them.
            labels: int (N,); of several labels each 0 or 1, (N, K).
            label_smoothing: the share of each target that is spread over all classes.

        Returns:
            A scalar.
        """
        logits = tf.cast(logits, tf.float32)
        if self.outputs_per_sentence == 1 or self.multi_label:
            targets = tf.reshape(tf.cast(labels, logits.dtype), tf.shape(logits))
            targets = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
            losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
        else:
            targets = tf.one_hot(labels, self.classes, dtype=logits.dtype)
            targets = targets * (1.0 - label_smoothing) + label_smoothing / self.classes
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses)

    def word_tables(self) -> list[keras.Variable]:
        """The tables (V, D) whose rows the words of a sentence pick."""
        raise NotImplementedError

    def place_effects(self, ids: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
        """Gradient times word vector at each place, in a graph.

        Args:
            ids: int (N, T), padded.
            direction: float (N, outputs), by which the logits are weighed into a score.

        Returns:
            float (N, T); what stands at padding has no meaning.
        """
        raise NotImplementedError

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "name": self.name,
            "vocabulary_size": self.vocabulary_size,
            "classes": self.classes,
            "multi_label": self.multi_label,
            "temperature": self.temperature,
            "thresholds": list(self.decision.thresholds),
        }
