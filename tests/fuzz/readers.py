"""Every reader of files that a stranger may have made, with seeds for it.

A `Target` writes bytes where its reader looks for them and reads them. The only exception
that may come out is `InputError` (or `Damaged`, from the two checks that run in a child
process otherwise), and its message is one short line.
"""

import csv
import dataclasses
import io
import json
import os
import signal
import struct
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kerasdl.errors import InputError
from kerasdl.weights.damage import Damaged

MAX_MESSAGE = 2000


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes:
        seeds: Makes whole files, from which damaged ones are made.
        read: Reads the file at a path.
        name: What the file is called in its folder.
    """

    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    name: str = "file"

    def try_one(self, data: bytes, folder: Path) -> bool:
        """Reads `data`: whether it was accepted.

        Raises:
            AssertionError: The refusal is not one short line.
        """
        path = folder / self.name
        path.write_bytes(data)
        try:
            self.read(path)
        except (InputError, Damaged) as error:
            message = str(error)
            assert "\n" not in message, message
            assert len(message) < MAX_MESSAGE, message
            return False
        return True


def _arrays() -> dict[str, np.ndarray]:
    return {
        "layer/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
        "layer/bias": np.zeros(3, np.float32),
    }


def _pth_seeds() -> list[bytes]:
    from tests.weights.torch_files import state_dict, torch_file

    return [torch_file(*state_dict(_arrays(), old), old) for old in (False, True)]


def _safetensors_seeds() -> list[bytes]:
    from tests.weights.safetensors_files import safetensors_file

    return [safetensors_file(_arrays()), safetensors_file(_arrays(), {"format": "pt"})]


def _npz_seeds() -> list[bytes]:
    files = [io.BytesIO(), io.BytesIO()]
    np.savez(files[0], **_arrays())
    np.savez_compressed(files[1], **_arrays())
    return [file.getvalue() for file in files]


def _hdf5_seeds() -> list[bytes]:
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


def _tflite_seeds() -> list[bytes]:
    from tests.weights.tflite_files import adder, packed

    return [packed(adder())]


def _checkpoint_seeds() -> list[bytes]:
    import tempfile

    from kerasdl.training.checkpoint import write_arrays

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "latest.npz"
        write_arrays(path, _arrays(), {"epoch": 3, "step": 4})
        return [path.read_bytes()]


def _picture_seeds() -> list[bytes]:
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


def _caption_csv() -> list[bytes]:
    return [
        _rows(",", ("image", "caption"), ("a.jpg", 'A "dog", running'), ("b.jpg", "Cat")),
        b"image,caption,split\r\na.jpg,one,train\r\nb.jpg,two,val\r\n",
    ]


def _caption_jsonl() -> list[bytes]:
    first = {"file_name": "a.jpg", "text": "A dog"}
    return [_json_lines(first, {"file_name": "b.jpg", "text": "A café"})]


def _coco() -> list[bytes]:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    annotations = [{"id": i, "image_id": i, "caption": f"Caption {i}"} for i in (1, 2)]
    return [json.dumps({"images": images, "annotations": annotations}).encode()]


def _karpathy() -> list[bytes]:
    sentences = [{"raw": "A dog runs.", "tokens": ["a", "dog", "runs"]}]
    images = [
        {"filename": f"{split}.jpg", "split": split, "sentences": sentences}
        for split in ("train", "val", "test")
    ]
    return [json.dumps({"dataset": "flickr8k", "images": images}).encode()]


def _texts(suffix: str) -> list[bytes]:
    if suffix == ".txt":
        lines = "".join(f"{i % 2} a sentence of {i}\n" for i in range(12))
        named = "".join(f"__label__{'ab'[i % 2]} sentence {i}\n" for i in range(12))
        return [lines.encode(), named.encode()]
    rows = [("label", "text"), *((str(i % 2), f"sentence, {i}") for i in range(12))]
    return [_rows("," if suffix == ".csv" else "\t", *rows)]


def _read_captions(path: Path) -> object:
    from kerasdl.data.captions.readers import read_captions

    return read_captions(path)


def _read_coco(path: Path) -> object:
    from kerasdl.data.captions.readers import read_captions

    folder = path.parent / "annotations"
    folder.mkdir(exist_ok=True)
    (path.parent / "images").mkdir(exist_ok=True)
    path.replace(folder / path.name)
    images = [{"id": 9, "file_name": "z.jpg"}]
    annotations = [{"id": 9, "image_id": 9, "caption": "Of the other split"}]
    other = json.dumps({"images": images, "annotations": annotations})
    (folder / "captions_val2017.json").write_text(other)
    return read_captions(path.parent)


def _read_texts(path: Path) -> object:
    from kerasdl.data.texts.readers import read_texts

    return read_texts(str(path), text_column="text", label_column="label")


def _read_unlabelled(path: Path) -> object:
    from kerasdl.data.texts.lines import LineErrors, read_unlabelled

    return read_unlabelled(path, LineErrors())


def _read_picture(path: Path) -> object:
    from kerasdl.data.pictures.decoding import prepare_picture, read_picture

    return prepare_picture(read_picture(path), 16)


def _read_pth(path: Path) -> object:
    from kerasdl.weights.pth import read_pth

    return read_pth(path)


def _read_safetensors(path: Path) -> object:
    from kerasdl.weights.safetensors import read_safetensors

    return read_safetensors(path)


def _read_npz(path: Path) -> object:
    from kerasdl.weights.npz import read_npz

    return read_npz(path)


def _inspect_hdf5(path: Path) -> None:
    """In a child, as `check_hdf5` does, but a forked one, to be fast."""
    from kerasdl.weights.hdf5 import inspect

    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(2)
        try:
            inspect(path)
            os._exit(0)
        except Damaged:
            os._exit(3)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status != 1 << 8, "another exception came out, see above"
    if status:
        raise Damaged("refused, ended or hung")


def _check_tflite(path: Path) -> None:
    from kerasdl.weights.tflite import check_structure

    check_structure(path.read_bytes())


def _read_glove(path: Path) -> object:
    from kerasdl.data.texts.glove import read_glove_text

    return read_glove_text(path, {"the", "café"})


def _read_tokenizer(path: Path) -> object:
    from kerasdl.data.texts.tokens import Tokenizer

    return Tokenizer.load(path)


def _read_vocabulary(path: Path) -> object:
    from kerasdl.data.texts.tokens import TextVocabulary

    return TextVocabulary.load(path)


def _read_labels(path: Path) -> object:
    from kerasdl.data.vocabulary import read_class_names

    return read_class_names(path)


def _read_config(path: Path) -> object:
    from kerasdl.runs import read_rows, read_run

    read_rows(path)
    return read_run(path.parent)


def _read_checkpoint(path: Path) -> object:
    from kerasdl.training.checkpoint import read_arrays

    return read_arrays(path)


def _config_seeds() -> list[bytes]:
    run = {"job": "text", "config": {"seed": 1, "data": {"root": ""}}, "seed": 1}
    return [json.dumps(run).encode(), json.dumps(run, indent=2).encode()]


def _vocabulary_seeds() -> list[bytes]:
    from kerasdl.data.texts.tokens import TextVocabulary

    return [TextVocabulary(["the", "café", "a"]).to_bytes()]


def _glove_seeds() -> list[bytes]:
    return [
        "the 0.1 -2e-3 3\ncafé 1 2 3\n. . . 4 5 6\n".encode(),
        b"2 3\nthe 1 2 3\nof 4 5 6\n",
    ]


TARGETS = {
    "pth": Target(_pth_seeds, _read_pth),
    "safetensors": Target(_safetensors_seeds, _read_safetensors),
    "npz": Target(_npz_seeds, _read_npz),
    "hdf5": Target(_hdf5_seeds, _inspect_hdf5),
    "tflite": Target(_tflite_seeds, _check_tflite),
    "glove": Target(_glove_seeds, _read_glove),
    "pictures": Target(_picture_seeds, _read_picture, "a.png"),
    "captions_csv": Target(_caption_csv, _read_captions, "captions.csv"),
    "captions_jsonl": Target(_caption_jsonl, _read_captions, "metadata.jsonl"),
    "captions_coco": Target(_coco, _read_coco, "captions_train2017.json"),
    "captions_karpathy": Target(_karpathy, _read_captions, "dataset_flickr8k.json"),
    "text_lines": Target(lambda: _texts(".txt"), _read_texts, "train.txt"),
    "text_csv": Target(lambda: _texts(".csv"), _read_texts, "train.csv"),
    "text_tsv": Target(lambda: _texts(".tsv"), _read_texts, "train.tsv"),
    "unlabelled": Target(lambda: [b"one\n\ntwo words\n"], _read_unlabelled),
    "tokenizer": Target(
        lambda: [b'{"kind": "whitespace", "max_tokens": 512}'],
        _read_tokenizer,
        "tokenizer.json",
    ),
    "vocabulary": Target(_vocabulary_seeds, _read_vocabulary, "vocab.txt"),
    "labels": Target(lambda: [b"cat\ndog\n"], _read_labels, "labels.txt"),
    "config": Target(_config_seeds, _read_config, "config.json"),
    "checkpoint": Target(_checkpoint_seeds, _read_checkpoint, "latest.npz"),
}

# What damage is likely to be made of, besides single bytes: sizes and ends of ranges.
NUMBERS = [
    struct.pack(code, value)
    for code, value in (
        *(("<i", v) for v in (0, -1, 2**31 - 1, -(2**31), 65536)),
        *(("<q", v) for v in (-1, 2**62, -(2**63), 2**40)),
    )
]
TEXTS = [b"\0", b"\xff", b"\r", b'"', b"NaN", b"1e999", b"[" * 50, b"9" * 50, b"{}", b","]
