"""One or more files of each kind that has crashed, hung or filled a reader once.

Run as a program it reads them all, each in a forked process of its own, and prints what
came of each:

    python -m tests.faults.hostile_files FOLDER
"""

import contextlib
import io
import json
import os
import resource
import signal
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError
from tests.weights import test_hostile_pth as nests
from tests.weights.torch_files import (
    ORDERED_DICT,
    REBUILD_TENSOR,
    Call,
    Raw,
    Reference,
    Storages,
    tensor,
    torch_file,
)

SECONDS, MEMORY_MB = 10, 1024
# What a reader is called by its files' ending, if not by that.
KINDS = {"csv": "text_csv", "jpg": "pictures", "png": "pictures"}
DEEP_JSON = b"[" * 100_000


def pth():
    """Deep nests, shared parts, huge products, too many instructions and entries."""
    deep, shared = nests.DEEP_TUPLES, nests.SHARED
    values = {
        "deep": {"deep": Raw(deep)},
        "deep_key": Raw(b"}" + deep + b"Ns"),  # whose hash overflows the C stack
        "deep_keys": Raw(b"}(" + deep + b"Nu"),
        "deep_dict": Call(ORDERED_DICT, ([(Raw(deep), 1)],)),
        "deep_reference": Reference((Raw(deep), 1, 2, 3, 4)),
        "deep_tensor": Call(REBUILD_TENSOR, (Raw(deep), 0, (2,), (1,), False, None)),
        "deep_call": Call(Raw(deep), ()),
        "shared": Reference((Raw(shared), 1, 2, 3, 4)),
        "shared_key": Raw(b"}" + shared + b"Ns"),
        "instructions": {"x": Raw(b"](" + b"N" * (nests.MAX_INSTRUCTIONS + 1) + b"e")},
    }
    for legacy in (False, True):
        kind = "legacy" if legacy else "zip"
        # Of one reader of pickles: what a legacy file wraps differs, not the pickle.
        for name in ("deep", "shared", "deep_reference") if legacy else values:
            yield f"{name}_{kind}.pth", torch_file(values[name], Storages(), legacy)
        for name, size in {
            "huge_sides": Raw(b"(" + nests.HUGE * 60 + b"t"),
            "many_sides": Raw(b"(" + b"K\x01" * 500_000 + b"t"),
        }.items():
            storages = Storages()
            reference = storages.reference(storages.add(np.ones(4, np.float32)), legacy)
            value = {"w": tensor(reference, size, size)}
            yield f"{name}_{kind}.pth", torch_file(value, storages, legacy)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    data = file.getvalue()
    entry = data[data.index(b"PK\x01\x02") : data.index(b"PK\x05\x06")]
    yield "entries.pth", data + entry * 300_000


def safetensors():
    """Overlapping, gapped, trailing and doubled entries, and a huge list of sides."""

    def of(entries, body):
        text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
        return struct.pack("<Q", len(text)) + text + bytes(body)

    def entry(start, shape=(2,)):
        return {"dtype": "F32", "shape": shape, "data_offsets": [start, start + 8]}

    yield "overlap.safetensors", of({"a": entry(0), "b": entry(4)}, 12)
    yield "gap.safetensors", of({"a": entry(0), "b": entry(12)}, 20)
    yield "trailing.safetensors", of({"a": entry(0)}, 9)
    one = json.dumps(entry(0)).encode()
    yield "twice.safetensors", of(b'{"a":' + one + b',"a":' + one + b"}", 8)
    yield "sides.safetensors", of({"a": entry(0, [9**15] * 2_000_000)}, 8)


def npz():
    """A truncated archive, and one whose entries swell."""
    file = io.BytesIO()
    np.savez(file, w=np.ones(1000))
    yield "cut.npz", file.getvalue()[:-300]
    file = io.BytesIO()
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("w.npy", "w", force_zip64=True) as out:
        np.lib.format.write_array_header_1_0(
            out, {"descr": "<f4", "fortran_order": False, "shape": (275 << 20,)}
        )
        for _ in range(1100):
            out.write(bytes(1 << 20))
    yield "bomb.npz", file.getvalue()


def hdf5(folder):
    """What reads other files, and what declares more than it holds."""
    from tests.weights import hdf5_files

    names = ("external", "virtual", "soft_link", "external_link", "objects", "records")
    for name in (*names, "fixed_strings", "declared", "declared_in_chunks"):
        path = folder / f"{name}.h5"
        hdf5_files.plain(path)
        hdf5_files.change(path, getattr(hdf5_files, name))


def tflite():
    """What crashes LiteRT, and what takes 32 GB."""
    from tests.weights.tflite_files import filler, killer, packed

    yield "kills.tflite", packed(killer())
    yield "fills.tflite", packed(filler())
    yield "cut.tflite", packed(filler())[:300]


def pictures():
    """Few bytes that take long to decode, or much memory."""
    from tests.data.pictures.encoded_pictures import jpeg_of_many_scans, png

    yield "scans.jpg", jpeg_of_many_scans(16, 16, 9_000)
    yield "large_scans.jpg", jpeg_of_many_scans(5000, 5000, 90)
    yield "line.png", png(8, 0, bytes(1), 10**8, 1)
    yield "square.png", png(8, 2, bytes(20_000), 20_000, 20_000)


def texts():
    """Numbers, lines, labels and JSON of a kind that nobody writes."""
    for name, number in {"large": "1e39", "inf": "inf", "hex": "0x1f"}.items():
        yield f"{name}.glove", f"a 1 2\nb {number} 2\n".encode()
    yield "line.glove", b"a 1 2\nb" + b" 1" * (75 << 20)
    for name, content in {
        "list": b"[]",
        "null": b"null",
        "extra": b'{"kind": "whitespace", "extra": 1}',
        "type": b'{"max_tokens": "9"}',
        "deep": DEEP_JSON,
        "digits": b'{"max_tokens": ' + b"9" * 5000 + b"}",
    }.items():
        yield f"{name}.tokenizer", content
    for name, content in {
        "list": b"[]",
        "null": b"null",
        "type": b'{"job": 1, "config": []}',
        "deep": DEEP_JSON,
    }.items():
        yield f"{name}.config", content
    words = b"<NULL>\n<UNK>\na\rb\n"
    yield "cr.vocabulary", words
    yield "shifted.labels", b"cat\ndog\x0bbird\n"
    yield "digits.csv", b"label,text\n" + b"a,x\nb,y\n" * 5 + b"9" * 5000 + b",z\n"


def bodies():
    """Bodies of 16 MiB that a server accepts by their size."""
    size, less = 16 << 20, 4 << 20

    def request(part, count, closing=b""):
        return b'{"instances": [' + part * count + closing + b"0]}"

    yield "deep.body", b'{"instances": ' + b"[" * (size - 20)
    yield "lists.body", request(b"[],", less // 3)
    yield "objects.body", request(b'{"":0},', size // 7 - 9)
    yield "numbers.body", request(b"1e9,", less // 4)
    yield "ragged.body", request(b"[1,2,3],", less // 8)
    yield "digits.body", request(b"9" * (size - 40) + b",", 1)


def make(folder):
    """Writes all of them; the ending names the reader."""
    for files in (pth, safetensors, npz, tflite, pictures, texts, bodies):
        for name, data in files():
            (folder / name).write_bytes(data)
    (folder / "h5").mkdir()
    hdf5(folder / "h5")  # with a file without ending that one of them would read
    os.mkfifo(folder / "fifo.jpg")
    os.symlink("/dev/zero", folder / "zero.jpg")
    for name in ("sparse.jpg", "sparse.glove", "sparse.labels"):
        with open(folder / name, "wb") as file:
            file.truncate(8 << 30)


def read(path):
    """Reads a file as its ending says."""
    from kerasdl.export.serving import tensors
    from kerasdl.weights.hdf5 import check_hdf5
    from kerasdl.weights.tflite import check_tflite
    from tests.fuzz.readers import TARGETS

    kind = KINDS.get(path.suffix[1:], path.suffix[1:])
    if kind == "body":
        spec = tensors.TensorSpec("DT_FLOAT", (None, 3))
        body = tensors.read_body(path.read_bytes())
        tensors.to_tensors(body, tensors.Signature({"x": spec}, {}))
    elif kind in ("h5", "tflite"):
        {"h5": check_hdf5, "tflite": check_tflite}[kind](path)
    elif kind == "config":
        (path.parent / "run").mkdir(exist_ok=True)
        path = path.rename(path.parent / "run" / "config.json")
        TARGETS[kind].read(path)
    else:
        TARGETS[kind].read(path)


def _refusal(path):
    """What the forked process tells: the line of refusal."""
    from kerasdl.export.serving.tensors import Refused

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
    signal.alarm(3 * SECONDS)
    try:
        read(path)
    except (InputError, Refused) as error:
        return getattr(error, "message", None) or str(error)
    except BaseException as error:
        return f"ANOTHER EXCEPTION {error!r}"[:300]
    return "ACCEPTED"


def main(folder):
    """Prints a JSON object for each file."""
    for name in ("x.body", "x.csv", "x.h5", "x.png", "x.pth"):
        with contextlib.suppress(InputError, OSError):
            read(folder / name)  # which is not there: imports what its reader imports
    for path in sorted(p for p in folder.rglob("*") if p.suffix):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, _refusal(path)[:4000].encode("utf-8", "replace"))
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as answer:
            told = answer.read().decode()
        _, status, used = os.wait4(child, 0)
        print(
            json.dumps(
                {
                    "file": path.name,
                    "told": told,
                    "died": os.waitstatus_to_exitcode(status),
                    "seconds": round(used.ru_utime + used.ru_stime, 2),
                    "mb": used.ru_maxrss >> 10,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    make(target)
    main(target)
