"""Warm-up requests, which a version answers before it is available.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord
file of PredictionLog messages, and so does our server. The messages are declared here by
the numbers of their fields, so that neither side needs TensorFlow Serving's own package;
what is written is byte for byte a message of that package. Source: TensorFlow Serving,
apis/prediction_log.proto, predict.proto and model.proto.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from kerasdl.export.serving.tensors import DEFAULT_SIGNATURE
from kerasdl.tensorflow_private import TensorProto

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# TensorFlow Serving's limit.
MOST_REQUESTS = 1000

_PACKAGE = "kerasdl.warmup"
# Message: its fields as (name, number, type), the type another message or "string".
_MESSAGES = {
    "ModelSpec": [("name", 1, "string"), ("signature_name", 3, "string")],
    "Input": [("key", 1, "string"), ("value", 2, "tensorflow.TensorProto")],
    "PredictRequest": [
        ("model_spec", 1, f"{_PACKAGE}.ModelSpec"),
        ("inputs", 2, f"{_PACKAGE}.Input"),
    ],
    "PredictLog": [("request", 1, f"{_PACKAGE}.PredictRequest")],
    "PredictionLog": [("predict_log", 6, f"{_PACKAGE}.PredictLog")],
}


def write_warmup(
    version: Path,
    inputs: Mapping[str, np.ndarray],
    signature_name: str = DEFAULT_SIGNATURE,
) -> None:
    """Writes one warm-up request beside a SavedModel.

    Args:
        version: The SavedModel's folder.
        inputs: A tensor for each input of the signature; strings as arrays of bytes.
        signature_name: The signature that the request asks.
    """
    log = _prediction_log()()
    request = log.predict_log.request
    request.model_spec.signature_name = signature_name
    for name, value in sorted(inputs.items()):
        request.inputs.add(key=name, value=tf.make_tensor_proto(value))
    path = version / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString(deterministic=True))


def read_warmup(version: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the signature and the inputs of each warm-up request, none without a file.

    Raises:
        ValueError: If the file is damaged.
    """
    path = version / FILE
    if not path.is_file():
        return
    try:
        for record in tf.data.TFRecordDataset(str(path)).take(MOST_REQUESTS):
            request = _prediction_log().FromString(record.numpy()).predict_log.request
            yield (
                request.model_spec.signature_name or DEFAULT_SIGNATURE,
                {entry.key: tf.make_ndarray(entry.value) for entry in request.inputs},
            )
    except (DecodeError, tf.errors.DataLossError) as error:
        raise ValueError(
            f"{path}: expected a TFRecord of PredictionLog: {error}"
        ) from error


@functools.cache
def _prediction_log() -> Any:
    """The message class PredictionLog, with the fields that warm-up needs."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="kerasdl/warmup.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[TensorProto.DESCRIPTOR.file.name],
    )
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = declared.field.add(name=name, number=number)
            # A protobuf map is a repeated message of a key and a value.
            repeated = name == "inputs"
            field.label = (
                field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            )
            field.type = field_type.TYPE_STRING
            if kind != "string":
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".{kind}"
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog")
    )
