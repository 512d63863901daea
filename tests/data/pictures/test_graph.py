import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.graph import decode, decode_and_prepare, prepare
from tests.data.pictures.encoded_pictures import (
    encode,
    graph_cases,
    jpeg_of_many_scans,
    photograph,
    png,
)

CASES = graph_cases()
SCALAR = [tf.TensorSpec((), tf.string)]

graph_decode = tf.function(decode, input_signature=SCALAR)


graph_squash = tf.function(
    lambda data: decode_and_prepare(data, 32), input_signature=SCALAR
)


@pytest.mark.parametrize("name", CASES)
def test_decodes_as_pillow_does(name):
    expected = decode_picture(CASES[name], name)
    decoded = graph_decode(CASES[name]).numpy()
    np.testing.assert_array_equal(decoded, expected, strict=True)


@pytest.mark.parametrize("name", [*list(CASES)[::7], "JPEG orientation 6 >"])
def test_prepares_as_pillow_does(name):
    expected = prepare_picture(decode_picture(CASES[name], name), 32)
    np.testing.assert_array_equal(
        graph_squash(CASES[name]).numpy(), expected.astype(np.float32), strict=True
    )


def test_exif_of_type_long_and_after_other_segments():
    # SHORT is what cameras write; TIFF's LONG is as good. A comment comes first.
    plain = encode(photograph(), "JPEG", comment=b"Exif\0\0 in a comment" * 20)
    height, width, _ = photograph().shape
    block = (
        b"Exif\0\0MM\0*\0\0\0\x08\0\x02"
        b"\x01\x0f\0\x02\0\0\0\x04abc\0"
        b"\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0"
    )
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    scan_tables = plain.index(b"\xff\xdb")
    data = plain[:scan_tables] + b"\xff" + segment + plain[scan_tables:]
    expected = decode_picture(data, "a")
    assert expected.shape == (width, height, 3)
    np.testing.assert_array_equal(graph_decode(data).numpy(), expected)


@given(st.binary(min_size=0, max_size=60))
@settings(max_examples=40, deadline=None)
def test_damaged_exif_is_ignored_or_read_alike(block):
    data = encode(photograph(8, 12), "PNG")
    chunk = png(8, 0, b"\0", 1, 1, (b"eXIf", b"II*\0" + block))
    chunk = chunk[33 : chunk.index(b"IDAT") - 4]
    damaged = data[:33] + chunk + data[33:]
    assert graph_decode(damaged).numpy().size == 8 * 12 * 3


def test_sizes_and_types_are_static():
    function = graph_squash.get_concrete_function()
    assert function.output_shapes == tf.TensorShape((32, 32, 3))
    assert function.output_dtypes == tf.float32


def test_saved_model_maps_over_a_batch_without_kerasdl(tmp_path):
    module = tf.Module()
    module.serve = tf.function(
        lambda batch: tf.map_fn(
            lambda data: decode_and_prepare(data, 32, "crop"),
            batch,
            fn_output_signature=tf.TensorSpec((32, 32, 3), tf.float32),
        ),
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    names = list(CASES)[::9]
    expected = [prepare_picture(decode_picture(CASES[n], n), 32, "crop") for n in names]
    np.savez(tmp_path / "expected.npz", pictures=np.stack(expected))
    for index, name in enumerate(names):
        (tmp_path / f"{index}").write_bytes(CASES[name])
    code = f"""
import sys
sys.modules["kerasdl"] = sys.modules["PIL"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load("model")
batch = tf.constant([open(str(index), "rb").read() for index in range({len(names)})])
expected = np.load("expected.npz")["pictures"]
np.testing.assert_array_equal(model.serve(batch).numpy(), expected)
assert model.serve(batch[:0]).shape == (0, 32, 32, 3)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a JPEG or PNG picture, got.*none"),
        (b"<html>\xff\xfe", "expected a JPEG or PNG picture, got.*bytes of no picture"),
        (encode(photograph(), "TIFF"), "expected a JPEG or PNG picture, got.*a TIFF"),
        (encode(photograph(), "GIF"), "expected a JPEG or PNG picture, got.*a GIF"),
        (encode(photograph(), "BMP"), "expected a JPEG or PNG picture, got.*a BMP"),
        (encode(photograph(), "WEBP"), "expected a JPEG or PNG picture, got.*a WebP"),
        (encode(photograph(), "JPEG")[:-300], "Invalid JPEG data"),
        (encode(photograph(), "PNG")[:-300], "Invalid PNG data"),
        (
            png(8, 0, b"\0" * 10_000, 10_001, 10_000),
            r"100 megapixels.*\[10000\] \[10001\]",
        ),
        (png(8, 0, bytes(2), 2**32 - 1, 2), r"100 megapixels.*\[2\] \[4294967295\]"),
        (png(8, 0, bytes(21), 1, 21), r"ratio of at most 20, got.*\[21\] \[1\]"),
        (png(8, 0, bytes(1), 0, 1), "."),
        (jpeg_of_many_scans(16, 16, 101), r"at most 100 scans .*, got.*\[101\]"),
    ],
)
def test_bad_bytes(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){message}"):
        graph_decode(data)


def test_a_file_of_empty_segments_is_no_endless_search():
    jpeg = encode(photograph(), "JPEG")
    data = jpeg[:2] + b"\xff\xfe\x00\x02" * 200_000 + jpeg[2:]
    np.testing.assert_array_equal(graph_decode(data).numpy(), decode_picture(data, "a"))


def test_unknown_preparation():
    with pytest.raises(ValueError, match="`how`, expected one of squash, crop, got fit"):
        prepare(tf.zeros((2, 2, 3), tf.uint8), 32, "fit")
