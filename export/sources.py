"""Resolves the `model` argument of an export to a subject."""

import importlib
from pathlib import Path
from typing import Any

from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.errors import InputError
from kerasdl.export.subject import Request, Subject
from kerasdl.weights.keras_file import check_keras_file


def open_subject(model: Any, request: Request) -> Subject:
    """The subject of exports that `model` names or is.

    Args:
        model: A `keras.Model`, a `.keras` file, a workdir, or a captioner.
        request: What is asked for.

    Raises:
        InputError: It is none of these, or a damaged one.
    """
    if isinstance(model, (str, Path)):
        path = Path(model)
        if path.is_dir():
            from kerasdl.export.jobs import load_job

            return load_job(path)
        if path.suffix != ".keras" or not path.is_file():
            raise InputError(
                "--model must be a workdir or a .keras file, got "
                f"{'the file ' if path.is_file() else ''}{str(path)!r}."
            )
        # Compiled only for its loss and optimiser, which may be of anyone's making.
        model = _load(path, "train" in request.signatures and request.loss is None)
    from kerasdl.export.keras_model import KerasModel
    from kerasdl.models.captioner import ImageCaptioner

    captioner = getattr(model, "model", model)  # `kerasdl.load` gives one with its words
    if isinstance(captioner, ImageCaptioner):
        from kerasdl.export.captioning import CaptioningJob

        words = getattr(model, "vocabulary", None) or request.vocabulary
        if words is None:
            raise InputError("`vocabulary` must give the words of a captioner, got none.")
        if not isinstance(words, CaptionVocabulary):
            data = "".join(f"{word}\n" for word in words).encode()
            words = CaptionVocabulary.from_bytes(data, "`vocabulary`")
        return CaptioningJob.of(captioner, words)
    return KerasModel(model)


def _load(path: Path, compiled: bool) -> Any:
    from kerasdl.training.command import import_tensorflow

    import_tensorflow()
    import keras

    # Registers the classes that the file may name.
    importlib.import_module("kerasdl.layers")
    importlib.import_module("kerasdl.models.captioner")
    check_keras_file(path)
    try:
        return keras.saving.load_model(path, compile=compiled)
    except Exception as error:  # a damaged file raises any of a dozen kinds
        from kerasdl.export.keras_model import first_line

        raise InputError(f"{path}: cannot be loaded: {first_line(error)}") from error
