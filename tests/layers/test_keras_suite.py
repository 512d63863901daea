"""Keras's own tests of its recurrent layers, with our classes in their places."""

import importlib
import types
import unittest

import keras
import pytest

from kerasdl import layers

OURS = types.SimpleNamespace(**vars(keras.layers))
for _name in ("LSTM", "LSTMCell", "GRU", "GRUCell", "SimpleRNN", "SimpleRNNCell"):
    vars(OURS)[_name] = getattr(layers, _name)
MODULES = ("lstm_test", "gru_test", "simple_rnn_test", "bidirectional_test", "rnn_test")
# Its tests of what PyTorch's backend calls, which import torch.
OTHER_BACKEND = "test_torch_cudnn_"


def cases():
    for name in MODULES:
        try:
            module = importlib.import_module(f"keras.src.layers.rnn.{name}")
        except ImportError:  # a Keras that is installed without its tests
            continue
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        for case in (test for group in suite for test in group):
            if case.id().rpartition(".")[2].startswith(OTHER_BACKEND):
                continue
            yield pytest.param(module, case, id=case.id().removeprefix(module.__name__))


@pytest.mark.parametrize(("module", "case"), cases())
def test_passes(module, case, monkeypatch):
    monkeypatch.setattr(module, "layers", OURS)
    result = unittest.TestResult()
    case.run(result)
    for _, reason in result.skipped:
        pytest.skip(reason)
    problems = result.failures + result.errors
    assert not problems, problems[0][1]
    assert result.testsRun == 1
