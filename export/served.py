"""Prediction from a SavedModel: TensorFlow, no layer or model of kerasdl."""

from pathlib import Path
from typing import Any

from kerasdl.data.pictures.decoding import as_jpeg_or_png
from kerasdl.errors import InputError
from kerasdl.training.command import import_tensorflow

SIGNATURE = "serving_default"
# What an input is, by the arguments of the signature.
_INPUT_KINDS = {("image_bytes",): "picture", ("text",): "text"}
# How the pictures begin that a model answers with: JPEG, PNG, WebP.
_PICTURE_STARTS = (b"\xff\xd8", b"\x89PNG", b"RIFF")


class ServedModel:
    """A SavedModel that an export wrote, ready to answer.

    Args:
        path: The version's folder.

    Raises:
        InputError: Where the folder holds no SavedModel with the signature
            `serving_default(image_bytes)`.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        if not (path / "saved_model.pb").is_file():
            versions = [
                folder.name
                for folder in path.iterdir()
                if folder.name.isdecimal() and folder.is_dir()
            ]
            hint = ""
            if versions:
                hint = f"; its newest version is {path / max(versions, key=int)}"
            raise InputError(f"{path}: no saved_model.pb in this folder{hint}.")

        import_tensorflow()
        import tensorflow as tf

        self._constant = tf.constant
        try:
            self._model = tf.saved_model.load(str(path))
            self._run = self._model.signatures[SIGNATURE]
            arguments = self._run.structured_input_signature[1]
        except Exception as error:  # a damaged file raises any of a dozen kinds
            raise InputError(
                f"{path}: expected a SavedModel with the signature {SIGNATURE}: {error}"
            ) from error
        self.input_kind = _INPUT_KINDS.get(tuple(arguments), "")
        if not self.input_kind:
            raise InputError(
                f"{path}: expected {SIGNATURE}(image_bytes) or (text), got "
                f"{SIGNATURE}({', '.join(arguments)})."
            )

    def predict(self, data: bytes, name: str) -> dict[str, Any]:
        """The answer for one input.

        Args:
            data: The bytes of an encoded picture, or of a sentence in UTF-8.
            name: What an error calls it.

        Returns:
            The signature's outputs by name: strings, numbers, lists of numbers, or the
            bytes of a picture.

        Raises:
            InputError: Where the input cannot be read.
        """
        if self.input_kind == "text":
            return self._outputs(text=self._constant([data]))
        data = as_jpeg_or_png(data, name)
        return self._outputs(image_bytes=self._constant([data]))

    def _outputs(self, **arguments: Any) -> dict[str, Any]:
        outputs = self._run(**arguments)
        return {key: _plain(value.numpy()[0]) for key, value in sorted(outputs.items())}


def _plain(value) -> Any:
    if not isinstance(value, bytes):
        return value.tolist()
    # Text as text; an encoded picture stays bytes.
    return value if value.startswith(_PICTURE_STARTS) else value.decode()
