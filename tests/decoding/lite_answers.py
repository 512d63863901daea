"""Converts ways of decoding to TFLite and prints how many captions are Keras's.

Run as a program: the converter may end the whole process.
"""

import sys
import tempfile

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from kerasdl.layers import emissions_in_buffers
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from tests.decoding.problems import FEATURES, features, sharp_decoder

PICTURES, LENGTH = 6, 8


def ways():
    """Name, model and options of each way of decoding."""
    attending = CaptionDecoder(
        9, FEATURES, cells=2, attention="additive", whole=2, units=8, layers=2,
        features_in="both", tied=True, rnn="gru", h_0_activation="tanh",
    )  # fmt: skip
    soft = sharp_decoder(sharpness=2.0)
    remembering = sharp_decoder(sharpness=2.0, seed=1)
    captions = np.array([[5, 6, 2, 0], [7, 8, 2, 0]] * 3, "int32")
    remembering.remember(features(PICTURES), np.arange(PICTURES), captions)
    rules = {"no_repeat_ngram": 2, "dangling": (4, 5), "forbidden": (8,)}
    yield "greedy", soft, rules
    yield "beam", soft, {"beam_size": 3, **rules}
    yield "required", soft, {"beam_size": 2, "required": (6, 7)}
    yield "consensus", soft, {"beam_size": 4, "consensus": True}
    yield "samples", soft, {"samples": 4, "seed": 3, "top_k": 5, "consensus": True}
    yield "neighbours", remembering, {"beam_size": 4, "neighbours": 3}
    yield "attention", attending, {"beam_size": 3, "attention": True}
    yield "ensemble", CaptionEnsemble([soft, attending]), {"beam_size": 3}


def answers(model, options):
    """The ids by TFLite, int32 (N, L), one picture at a time, built-in ops alone."""
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.decode = tf.function(
        lambda x: {"ids": model.generate(x, LENGTH, **options)[0]},
        input_signature=[tf.TensorSpec((None, FEATURES), tf.float32, name="x")],
    )
    with tempfile.TemporaryDirectory() as folder:
        with emissions_in_buffers():
            tf.saved_model.save(module, folder, signatures=module.decode)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        run = Interpreter(model_content=converter.convert()).get_signature_runner()
    return np.concatenate([run(x=row[None])["ids"] for row in features(PICTURES)])


def main():
    for name, model, options in ways():
        # One picture at a time, as on a device: samples depend on the place in a batch.
        expected = np.concatenate(
            [
                model.generate(row[None], LENGTH, **options)[0]
                for row in features(PICTURES)
            ]
        )
        same = (answers(model, options) == expected).all(axis=1).sum()
        print(name, same, file=sys.stdout, flush=True)


if __name__ == "__main__":
    main()
