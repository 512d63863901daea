"""Predicts for files with an export of either kind.

    python -m kerasdl.export.predict --model=served/captioner/1 --input=one.jpg two.png
    python -m kerasdl.export.predict --model=captioner.tflite --input=pictures/ --json

One line a file: its name and the answer, separated by tabs; with `--json` an object.
A TFLite file is run by ai-edge-litert and needs no TensorFlow; a SavedModel is run by
TensorFlow and needs none of the classes that it was trained with. Pictures that a model
makes are written into the folder `--output`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags
from PIL import Image

from kerasdl.data.broken import each_readable
from kerasdl.errors import InputError
from kerasdl.export import inputs
from kerasdl.export.representative import read_arrays
from kerasdl.files import atomic_path
from kerasdl.prediction.predictor import read_picture_input, read_sentence
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    model = load_model(flags.FLAGS.model)
    if flags.FLAGS.style_weights:
        try:
            model.style_weights = [float(share) for share in flags.FLAGS.style_weights]
        except ValueError as error:
            raise InputError(f"--style_weights must be numbers: {error}.") from error

    def answer(item: Any) -> dict[str, Any]:
        if isinstance(item, Path):
            is_picture = model.input_kind == "picture"
            given = read_picture_input(item, "") if is_picture else read_arrays(item)
            result = model.predict(given)
            return {"file": str(item), **_with_pictures_written(result, item)}
        if not item.data:  # a blank line
            return {"file": item.name, "label": "", "probabilities": {}}
        sentence = read_sentence(item.data, item.name)
        return {"file": item.name, **model.predict(sentence)}

    if model.input_kind == "text":
        items = inputs.given_examples("text", flags.FLAGS.input)
    elif model.input_kind == "picture":
        items = inputs.picture_files(flags.FLAGS.input, inputs.warn)
    else:
        items = [Path(name) for name in flags.FLAGS.input]
    for result in each_readable(items, answer, inputs.warn):
        if flags.FLAGS.json:
            print(json.dumps(result, ensure_ascii=False, default=_plain), flush=True)
        else:
            print("\t".join(_text(value) for value in result.values()), flush=True)


def load_model(name: str) -> Any:
    """The exported model that `name` is, a `kerasdl.export.artefact.Artefact`.

    Raises:
        InputError: It is neither kind of export.
    """
    path = Path(name)
    if not path.exists():
        raise InputError(f"--model names no file or folder, got {name!r}.")
    if path.is_dir():
        from kerasdl.export.served import ServedModel

        return ServedModel(path)
    from kerasdl.export.litert import DeviceModel

    return DeviceModel(path)


def _with_pictures_written(result: dict[str, Any], path: Path) -> dict[str, Any]:
    """`result` with the path of each picture that it held, written under `--output`.

    Raises:
        InputError: No folder is named, or it cannot be written.
    """
    written = {}
    for name, value in result.items():
        if name == "image":
            if not flags.FLAGS.output:
                raise InputError("--output must name a folder: the model makes pictures.")
            file = Path(flags.FLAGS.output) / f"{path.stem}.png"
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(file) as temporary:
                    Image.fromarray(value).save(temporary)
            except OSError as error:
                raise InputError(
                    f"--output cannot be written: {error.strerror}, got "
                    f"{flags.FLAGS.output!r}."
                ) from error
            name, value = "picture", str(file)
        written[name] = value
    return written


def _plain(value: Any) -> Any:
    return value.tolist()  # an array, or one of its numbers


def _text(value: Any) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    flags.DEFINE_string(
        "model", None, "The folder of a SavedModel's version, or a .tflite file."
    )
    flags.DEFINE_multi_string(
        "input",
        None,
        "Pictures or folders of them, files of sentences, or .npy and .npz files.",
    )
    flags.DEFINE_string("output", "", "The folder for pictures that the model makes.")
    flags.DEFINE_list(
        "style_weights", [], "The share of each style, of a network for several."
    )
    flags.DEFINE_bool("json", False, "Print an object a line.")
    flags.mark_flags_as_required(["model", "input"])
    command.run(main, inputs.spread_flag(sys.argv, "input"))
