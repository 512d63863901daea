"""Several caption decoders that decide each word together."""

import keras
import tensorflow as tf

from kerasdl.models.caption_model import CaptionModel


@keras.saving.register_keras_serializable(package="kerasdl")
class CaptionEnsemble(CaptionModel):
    """Averages the word probabilities of decoders of the same features and words::

        p(w_t | w_1 … w_{t−1}, features) = 1/M Σ_m p_m(w_t | w_1 … w_{t−1}, features)

    The members differ by how they were drawn, or in their design. Trained as one model
    each learns by its own loss (see `members`), as if it were trained alone, but in the
    same order of minibatches.

    Args:
        members: M `CaptionDecoder`s with equal `vocabulary_size` and `feature_dim`.
        memory: As `CaptionDecoder`'s.

    Call arguments and results: as `CaptionDecoder`; the logits are log-probabilities.

    Raises:
        ValueError: there is no member, or they do not fit together.
    """

    def __init__(self, members, memory=None, **kwargs):
        super().__init__(**kwargs)
        if not members:
            raise ValueError(
                "Received an invalid value for argument `members`, expected at least one "
                "decoder, got none."
            )
        self.members = list(members)
        first = self.members[0]
        for name in ("vocabulary_size", "feature_dim", "whole"):
            values = [getattr(member, name) for member in self.members]
            if len(set(values)) > 1:
                raise ValueError(
                    "Received an invalid value for argument `members`, expected decoders "
                    f"of one {name}, got {values}."
                )
            setattr(self, name, values[0])
        places = {member.cells for member in self.members}
        self.cells = first.cells if len(places) == 1 else 0
        self.constant_states = sum(member.constant_states for member in self.members)
        self.built = True
        self._empty_memory(memory)

    def pooled(self, features):
        """The first member's."""
        return self.members[0].pooled(features)

    def adapt(self, features):
        """Measures the features' statistics for each member."""
        for member in self.members:
            member.adapt(features)

    @property
    def state_names(self):
        """The members' names of the parts of a state, each after its member's number."""
        return self._joined(
            [
                tuple(f"member{number}_{name}" for name in member.state_names)
                for number, member in enumerate(self.members, start=1)
            ]
        )

    def initial_state(self, features):
        """The members' states: first what moves, member by member, then the constants."""
        return self._joined([member.initial_state(features) for member in self.members])

    def step(self, tokens, state):
        """One word further; see `CaptionModel`."""
        logits, states = [], []
        for member, part in zip(self.members, self._split(state), strict=True):
            one, moved = member.step(tokens, part)
            logits.append(one)
            states.append(moved)
        return _mean_probability(logits), self._joined(states)

    def _joined(self, states):
        pairs = [
            (state, member.moving_states)
            for member, state in zip(self.members, states, strict=True)
        ]
        return (
            *(part for state, moving in pairs for part in state[:moving]),
            *(part for state, moving in pairs for part in state[moving:]),
        )

    def _split(self, state):
        """Each member's state, out of a joined one."""
        parts = list(state)
        moving = [[parts.pop(0) for _ in range(m.moving_states)] for m in self.members]
        return [
            (*own, *(parts.pop(0) for _ in range(member.constant_states)))
            for member, own in zip(self.members, moving, strict=True)
        ]

    def call(self, inputs, training=None):
        """See the class."""
        return _mean_probability(
            [member(inputs, training=training) for member in self.members]
        )

    def attention_over(self, features, tokens):
        """The mean over the members of where each looks, (N, T, cells)."""
        weights = [member.attention_over(features, tokens) for member in self.members]
        return tf.add_n(weights) / len(weights)

    def get_config(self):
        """Constructor arguments; the members as Keras serialises them."""
        members = [keras.saving.serialize_keras_object(m) for m in self.members]
        memory = self._memory_config()
        return {**super().get_config(), "members": members, "memory": memory}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds the ensemble that `get_config` described."""
        config = dict(config)
        config["members"] = [
            keras.saving.deserialize_keras_object(member, custom_objects=custom_objects)
            for member in config["members"]
        ]
        return cls(**config)


def _mean_probability(logits):
    """Log of the mean of the members' probabilities."""
    if len(logits) == 1:
        return logits[0]
    log_p = tf.stack([tf.nn.log_softmax(tf.cast(one, tf.float32)) for one in logits])
    return tf.reduce_logsumexp(log_p, axis=0) - tf.math.log(float(len(logits)))
