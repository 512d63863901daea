"""Every reader of files that a stranger may have made, with seeds for it.

A `Target` writes bytes where its reader looks for them and reads them. The only exception
that may come out is `InputError` (or `Damaged`, from the two checks that run in a child
process otherwise), and its message is one short line.
"""

import dataclasses
import json
import os
import signal
import struct
import traceback
from collections.abc import Callable
from pathlib import Path

from kerasdl.errors import InputError
from kerasdl.weights.damage import Damaged
from tests.fuzz import seeds

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


def _read_style_state(path: Path) -> object:
    from kerasdl.style.descent import StyleState

    return StyleState.load(path)


def _read_proof(path: Path) -> object:
    from kerasdl.export.proof import load_cases

    return load_cases(path)


def _read_inputs(path: Path) -> object:
    from kerasdl.export.representative import read_arrays

    return read_arrays(path)


def _read_manifest(path: Path) -> object:
    from kerasdl.export.manifest import described, read_entries

    return described(read_entries(path), path.parent / "m.tflite")


def _read_appended(path: Path) -> object:
    from kerasdl.export.litert import read_appended

    return read_appended(path)


def _read_digests(path: Path) -> object:
    from kerasdl.runs import check_digests

    return check_digests(path.parent)


def _read_body(path: Path) -> None:
    from kerasdl.export.serving import tensors

    specs = {"x": ("DT_FLOAT", (None, 3)), "s": ("DT_STRING", (None,))}
    inputs = {name: tensors.TensorSpec(*spec) for name, spec in specs.items()}
    try:
        body = tensors.read_body(path.read_bytes())
        tensors.to_answer(
            tensors.to_tensors(body, tensors.Signature(inputs, {})), body.in_rows
        )
    except tensors.Refused as refused:
        raise Damaged(refused.message) from refused


TARGETS = {
    "pth": Target(seeds.pth, _read_pth),
    "safetensors": Target(seeds.safetensors, _read_safetensors),
    "npz": Target(seeds.npz, _read_npz),
    "hdf5": Target(seeds.hdf5, _inspect_hdf5),
    "tflite": Target(seeds.tflite, _check_tflite),
    "glove": Target(seeds.glove, _read_glove),
    "pictures": Target(seeds.picture, _read_picture, "a.png"),
    "captions_csv": Target(seeds.caption_csv, _read_captions, "captions.csv"),
    "captions_jsonl": Target(seeds.caption_jsonl, _read_captions, "metadata.jsonl"),
    "captions_coco": Target(seeds.coco, _read_coco, "captions_train2017.json"),
    "captions_karpathy": Target(seeds.karpathy, _read_captions, "dataset_flickr8k.json"),
    "text_lines": Target(lambda: seeds.texts(".txt"), _read_texts, "train.txt"),
    "text_csv": Target(lambda: seeds.texts(".csv"), _read_texts, "train.csv"),
    "text_tsv": Target(lambda: seeds.texts(".tsv"), _read_texts, "train.tsv"),
    "unlabelled": Target(lambda: [b"one\n\ntwo words\n"], _read_unlabelled),
    "tokenizer": Target(
        lambda: [b'{"kind": "whitespace", "max_tokens": 512}'],
        _read_tokenizer,
        "tokenizer.json",
    ),
    "vocabulary": Target(seeds.vocabulary, _read_vocabulary, "vocab.txt"),
    "labels": Target(lambda: [b"cat\ndog\n"], _read_labels, "labels.txt"),
    "config": Target(seeds.config, _read_config, "config.json"),
    "checkpoint": Target(seeds.checkpoint, _read_checkpoint, "latest.npz"),
    "digests": Target(lambda: [b"{}"], _read_digests, "digests.json"),
    "style_state": Target(seeds.style_state, _read_style_state, "state.npz"),
    "proof": Target(seeds.proof, _read_proof, "proof.npz"),
    "inputs": Target(seeds.inputs, _read_inputs),
    "manifest": Target(seeds.manifest, _read_manifest, "manifest.json"),
    "appended": Target(seeds.appended, _read_appended, "m.tflite"),
    "http_body": Target(
        lambda: [
            b'{"instances": [{"x": [1, 2.5, 3], "s": "a"}]}',
            b'{"inputs": {"x": [[1, 2, 3]], "s": [{"b64": "AA=="}]}}',
        ],
        _read_body,
    ),
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
