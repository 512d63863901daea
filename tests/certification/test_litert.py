import pytest
import tensorflow as tf

from kerasdl import layers
from kerasdl.certification import certify

T, D, H = 7, 5, 4
SHAPE = (None, T, D)


def converted(layer, path, batch=None, masked=False):
    """The layer as a `.tflite` file: x, and a mask if wanted, to sequence and states."""
    layer.build((None, None, D))
    signature = [tf.TensorSpec((batch, T if batch else None, D))]
    if masked:
        signature.append(tf.TensorSpec(signature[0].shape[:2], tf.bool))

    def run(x, *mask):
        return tf.nest.flatten(layer(x, mask=mask[0] if mask else None))

    with layers.emissions_in_buffers():
        function = tf.function(run, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    path.write_bytes(converter.convert())
    return path


@pytest.mark.parametrize(
    ("name", "kind"), [("LSTM", "lstm"), ("SimpleRNN", "simple_rnn"), ("GRU", "gru")]
)
def test_ours_converted(name, kind, tmp_path):
    layer = getattr(layers, name)(H, return_sequences=True, return_state=True)
    path = converted(layer, tmp_path / "rnn.tflite", masked=True)
    certificate = certify(path, kind, weights=layer.get_weights(), show=False, long=12)
    assert certificate.passed, str(certificate)
    outputs = {row.case: row for row in certificate.rows if row.quantity == "outputs"}
    assert outputs["holes"].measured
    assert "no state among its inputs" in outputs["initial state given"].note
    weights = [2 * w for w in layer.get_weights()]
    assert not certify(path, kind, weights=weights, show=False, long=12).passed
