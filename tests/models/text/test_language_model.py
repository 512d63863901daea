"""The language models around a classifier's layers."""

import keras
import numpy as np
import tensorflow as tf

from kerasdl.models.text.bilstm import PooledBiLSTM
from kerasdl.models.text.language_model import BidirectionalLanguageModel

IDS = np.array([[5, 3, 5, 2], [4, 0, 0, 0], [9, 8, 0, 0]], np.int32)


def build(**more):
    keras.utils.set_random_seed(1)
    classifier = PooledBiLSTM(10, 2, width=6, units=7, attention_units=3, **more)
    classifier.create_weights()
    model = BidirectionalLanguageModel(classifier, dropout=more.pop("dropout", 0.0))
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.5 * random.standard_normal(variable.shape))
    return classifier, model


def lstm_outputs(layer, vectors):
    """h_1 ... h_T of one sentence, by the equations, from the layer's weights."""
    kernel, recurrent, bias = (np.float64(w) for w in layer.get_weights())
    h = c = np.zeros(layer.units)
    outputs = []
    for x in vectors:
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def test_loss_is_that_of_the_words_on_both_sides():
    _, model = build()
    table = np.float64(np.array(model.word_vectors.table))
    losses = {"next": [], "previous": []}
    for row in IDS:
        words = row[row != 0]
        vectors = table[words]
        ahead = lstm_outputs(model.forward_lstm, vectors)
        back = lstm_outputs(model.backward_lstm, vectors[::-1])[::-1]
        for name, states, layer, targets in (
            ("next", ahead, model.to_next, [*words[1:], 0]),
            ("previous", back, model.to_previous, [0, *words[:-1]]),
        ):
            weights, bias = layer.get_weights()
            logits = (states @ weights + bias) @ table.T + np.array(model.bias)
            logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
            losses[name] += [-row[t] for row, t in zip(logits, targets, strict=True)]
    expected = (np.mean(losses["next"]) + np.mean(losses["previous"])) / 2
    np.testing.assert_allclose(model(IDS).numpy(), expected, rtol=1e-5)
    longer = np.pad(IDS, ((0, 0), (0, 5)))
    np.testing.assert_allclose(model(longer).numpy(), expected, rtol=1e-5)


def test_it_trains_the_classifiers_layers():
    classifier, model = build()
    with tf.GradientTape() as tape:
        loss = model(IDS, training=True)
    gradients = tape.gradient(loss, model.trainable_variables)
    reached = {
        id(v)
        for v, g in zip(model.trainable_variables, gradients, strict=True)
        if g is not None and np.abs(tf.convert_to_tensor(g).numpy()).max() > 0
    }
    shared = [
        classifier.word_vectors.table,
        *classifier.forward_lstm.trainable_variables,
        *classifier.backward_lstm.trainable_variables,
    ]
    assert {id(v) for v in shared} <= reached
    assert len(reached) == len(model.trainable_variables) == len(shared) + 5
