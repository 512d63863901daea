"""Whole files of every kind that kerasdl reads, from which damaged ones are made."""

import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np


def _arrays() -> dict[str, np.ndarray]:
    return {
        "layer/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "layer/bias": np.zeros(3, np.float32),
    }


def pth() -> list[bytes]:
    from tests.weights.torch_files import state_dict, torch_file

    return [torch_file(*state_dict(_arrays(), old), old) for old in (False, True)]


def safetensors() -> list[bytes]:
    from tests.weights.safetensors_files import safetensors_file

    return [safetensors_file(_arrays()), safetensors_file(_arrays(), {"format": "pt"})]


def npz() -> list[bytes]:
    files = [io.BytesIO(), io.BytesIO()]
    np.savez(files[0], **_arrays())
    np.savez_compressed(files[1], **_arrays())
    return [file.getvalue() for file in files]


def hdf5() -> list[bytes]:
    import h5py

    seeds = []
    for options in ({}, {"chunks": (1, 3), "compression": "gzip"}):
        file = io.BytesIO()
        with h5py.File(file, "w") as out:
            out.attrs["layer_names"] = [b"layer"]
            group = out.create_group("layer")
            group.attrs["weight_names"] = [b"kernel:0"]
            group.create_dataset("kernel:0", data=_arrays()["layer/kernel"], **options)
        seeds.append(file.getvalue())
    return seeds


def tflite() -> list[bytes]:
    from tests.weights.tflite_files import adder, packed

    return [packed(adder())]


def checkpoint() -> list[bytes]:

    from kerasdl.training.checkpoint import write_arrays

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "latest.npz"
        write_arrays(path, _arrays(), {"epoch": 3, "step": 4})
        return [path.read_bytes()]


def picture() -> list[bytes]:
    from PIL import Image

    rgb = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    seeds = []
    for kind in ("JPEG", "PNG", "BMP", "WEBP", "TIFF"):
        for mode in ("RGB", "L"):
            file = io.BytesIO()
            options = {"progressive": True} if (kind, mode) == ("JPEG", "L") else {}
            exif = Image.Exif()
            exif[0x0112] = 6  # turned by 90 degrees
            if kind != "BMP":
                options["exif"] = exif
            rgb.convert(mode).save(file, kind, **options)
            seeds.append(file.getvalue())
    return seeds


def _rows(delimiter: str, *rows: tuple[str, ...]) -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue().encode()


def _json_lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def caption_csv() -> list[bytes]:
    return [
        _rows(",", ("image", "caption"), ("a.jpg", 'A "dog", running'), ("b.jpg", "Cat")),
        b"image,caption,split\r\na.jpg,one,train\r\nb.jpg,two,val\r\n",
    ]


def caption_jsonl() -> list[bytes]:
    first = {"file_name": "a.jpg", "text": "A dog"}
    return [_json_lines(first, {"file_name": "b.jpg", "text": "A café"})]


def coco() -> list[bytes]:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    annotations = [{"id": i, "image_id": i, "caption": f"Caption {i}"} for i in (1, 2)]
    return [json.dumps({"images": images, "annotations": annotations}).encode()]


def karpathy() -> list[bytes]:
    sentences = [{"raw": "A dog runs.", "tokens": ["a", "dog", "runs"]}]
    images = [
        {"filename": f"{split}.jpg", "split": split, "sentences": sentences}
        for split in ("train", "val", "test")
    ]
    return [json.dumps({"dataset": "flickr8k", "images": images}).encode()]


def texts(suffix: str) -> list[bytes]:
    if suffix == ".txt":
        lines = "".join(f"{i % 2} a sentence of {i}\n" for i in range(12))
        named = "".join(f"__label__{'ab'[i % 2]} sentence {i}\n" for i in range(12))
        return [lines.encode(), named.encode()]
    rows = [("label", "text"), *((str(i % 2), f"sentence, {i}") for i in range(12))]
    return [_rows("," if suffix == ".csv" else "\t", *rows)]


def style_state() -> list[bytes]:
    file = io.BytesIO()
    image = np.zeros((1, 2, 2, 3), np.float32)
    np.savez(
        file, scale=0, iteration=3, image=image, moments=np.zeros((2, 12)), seconds=1.5
    )
    return [file.getvalue()]


def proof() -> list[bytes]:

    from kerasdl.export.proof import Case, save_cases

    texts = np.array([b"a", b"bc"], object)
    case = Case("serving_default", {"x": np.ones((2, 3)), "s": texts}, {"y": np.ones(2)})
    with tempfile.TemporaryDirectory() as folder:
        save_cases(Path(folder) / "proof.npz", [case, case])
        return [(Path(folder) / "proof.npz").read_bytes()]


def inputs() -> list[bytes]:
    file = io.BytesIO()
    np.save(file, np.ones((2, 3), np.float32))
    return [file.getvalue(), *npz()]


def appended() -> list[bytes]:

    from kerasdl.export.tflite_file import attach

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.tflite"
        path.write_bytes(tflite()[0])
        attach(path, {"job": "transfer", "input": {}}, {"labels.txt": "ant\nbee\n"})
        return [path.read_bytes()]


def manifest() -> list[bytes]:
    entry = {"job": "keras", "files": {"m.tflite": {"bytes": 1, "sha256": "0"}}}
    return [json.dumps({"m.tflite": {**entry, "before": entry}}).encode()]


def config() -> list[bytes]:
    run = {"job": "text", "config": {"seed": 1, "data": {"root": ""}}, "seed": 1}
    return [json.dumps(run).encode(), json.dumps(run, indent=2).encode()]


def vocabulary() -> list[bytes]:
    from kerasdl.data.texts.tokens import TextVocabulary

    return [TextVocabulary(["the", "café", "a"]).to_bytes()]


def glove() -> list[bytes]:
    return [
        "the 0.1 -2e-3 3\ncafé 1 2 3\n. . . 4 5 6\n".encode(),
        b"2 3\nthe 1 2 3\nof 4 5 6\n",
    ]
