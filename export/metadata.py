"""Standard TFLite metadata, which MediaPipe Tasks and Android's ML binding read.

The tables of metadata_schema.fbs (TensorFlow Lite Support, version 1.2.1) that are needed
here, written by the numbers of their fields, since the library that wraps them asks for a
protobuf of years ago. They stand in the model's flatbuffer under `TFLITE_METADATA`; the
files that they name are in the zip that follows it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

VOCABULARY_IDS = "vocab_ids.txt"
# What `str.split` of a sentence's tokenizer splits at, ASCII white space.
_WHITE_SPACE = r"[ \t\n\v\f\r]+"
_PARSER = "1.2.0"
_FEATURE, _IMAGE = 1, 2  # the union ContentProperties
_NORMALIZATION, _REGEX_TOKENIZER = 1, 6  # the union ProcessUnitOptions
_RGB = 1  # ColorSpaceType
_AXIS_LABELS, _VOCABULARY = 2, 5  # AssociatedFileType


class _Byte(int):
    """A number of one byte."""


def embed(path: Path, name: str, files: Mapping[str, str]) -> None:
    """Puts metadata into a `.tflite` file without a zip yet.

    An input (N, H, W, 3) is a picture in 0..255.

    Args:
        path: The file.
        name: The model's.
        files: What will be in its zip: `labels.txt` names the classes of the output
            `probabilities` or of the only one, `VOCABULARY_IDS` the words of a text.
    """
    packed = path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(packed)
    signature = (model.signatureDefs or [None])[0]
    graph = model.subgraphs[signature.subgraphIndex if signature else 0]

    def names(tensors, maps):
        by_index = {m.tensorIndex: m.name.decode() for m in maps} if maps else {}
        return [by_index.get(index, f"tensor_{index}") for index in tensors]

    inputs = names(graph.inputs, signature and signature.inputs)
    outputs = names(graph.outputs, signature and signature.outputs)
    classes = "probabilities" if "probabilities" in outputs else outputs[0]
    table = {
        0: f"kerasdl {name}",
        2: "v1",
        3: [
            {
                2: [
                    _input(each, graph.tensors[index].shape, files)
                    for each, index in zip(inputs, graph.inputs, strict=True)
                ],
                3: [_output(each, each == classes, files) for each in outputs],
            }
        ],
        7: _PARSER,
    }
    data = schema.BufferT()
    data.data = np.frombuffer(_packed(table), np.uint8)
    model.buffers.append(data)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    for buffer in model.buffers:
        if buffer.offset > 1:  # its data stand behind the flatbuffer
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(packed[buffer.offset : end], np.uint8)
            buffer.offset = buffer.size = 0
        buffer.__class__ = _AlignedBuffer
    builder = flatbuffers.Builder(path.stat().st_size + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):
    """A buffer whose data begin at a multiple of 16, as the schema asks and packs not."""

    def Pack(self, builder):
        data = None
        if self.data is not None and len(self.data):
            raw = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(raw), 16)
            builder.head = builder.head - len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def vocabulary_ids(words: list[str]) -> str:
    """The vocabulary as MediaPipe reads it: a word and its id a line, 0 and 1 special."""
    named = ["<PAD>", "<UNKNOWN>", *words[2:]]
    return "".join(f"{word} {number}\n" for number, word in enumerate(named))


def _input(name: str, shape: Sequence[int], files: Mapping[str, str]) -> dict:
    table: dict[int, Any] = {0: name, 3: {0: _Byte(_FEATURE), 1: {}}}
    if len(shape) == 4 and shape[3] == 3:
        size = {0: int(shape[2]), 1: int(shape[1])}
        table[3] = {0: _Byte(_IMAGE), 1: {0: _Byte(_RGB), 1: size}}
        # Our graphs take 0 to 255 and scale by themselves.
        unit = {0: [0.0], 1: [1.0]}
        table[4] = [{0: _Byte(_NORMALIZATION), 1: unit}]
        table[5] = {0: [255.0], 1: [0.0]}
    elif VOCABULARY_IDS in files:
        words = {0: VOCABULARY_IDS, 2: _Byte(_VOCABULARY)}
        unit = {0: _WHITE_SPACE, 1: [words]}
        table[4] = [{0: _Byte(_REGEX_TOKENIZER), 1: unit}]
    return table


def _output(name: str, has_classes: bool, files: Mapping[str, str]) -> dict:
    table: dict[int, Any] = {0: name, 3: {0: _Byte(_FEATURE), 1: {}}}
    if has_classes and "labels.txt" in files:
        table[5] = {0: [1.0], 1: [0.0]}
        table[6] = [{0: "labels.txt", 2: _Byte(_AXIS_LABELS)}]
    return table


def _packed(table: dict) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(_put(builder, table), file_identifier=b"M001")
    return bytes(builder.Output())


def _put(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a string, a vector, or a table as a mapping of field numbers to values."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        if isinstance(value[0], float):
            return builder.CreateNumpyVector(np.array(value, np.float32))
        offsets = [_put(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    fields = {
        number: field if isinstance(field, int) else _put(builder, field)
        for number, field in value.items()
    }
    builder.StartObject(max(value, default=-1) + 1)
    for number, field in fields.items():
        if isinstance(value[number], _Byte):
            builder.PrependUint8Slot(number, field, 0)
        elif isinstance(value[number], int):
            builder.PrependUint32Slot(number, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, field, 0)
    return builder.EndObject()
