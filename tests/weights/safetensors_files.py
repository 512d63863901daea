"""Writes `.safetensors` files by hand."""

import json
import struct

KINDS = {
    "<f8": "F64",
    "<f4": "F32",
    "<f2": "F16",
    "<i8": "I64",
    "<i4": "I32",
    "<i2": "I16",
    "|i1": "I8",
    "|u1": "U8",
    "|b1": "BOOL",
}


def safetensors_file(arrays, metadata=None):
    """The bytes of a file that holds name -> array."""
    header, body = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, array in arrays.items():
        start = len(body)
        body += array.tobytes()
        header[name] = {
            "dtype": KINDS[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [start, len(body)],
        }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
