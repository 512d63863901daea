"""`kerasdl.load` loads by its path whatever kerasdl trained or exported."""

from pathlib import Path
from typing import Any

from kerasdl.errors import InputError
from kerasdl.training.command import import_tensorflow

_CONFIG = "config.json"
_SAVED_MODEL = "saved_model.pb"


def load(path: str | Path) -> Any:
    """Loads a trained run or an exported model as an object that answers.

    Args:
        path: A workdir; its `model.keras`, or another `.keras` file; the folder of a
            SavedModel, or the folder of its versions (the newest one is taken); or a
            `.tflite` file.

    Returns:
        An object with `predict(x)`, in which x is one input or a list of inputs; see
        `kerasdl.prediction.predictor`. For a `.keras` file that belongs to no run it is
        the `keras.Model`, whose `predict` is Keras's.

    Raises:
        InputError: There is no such path, it holds nothing of these, or what it holds
            is damaged or unfinished.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"no such file or folder: {str(path)!r}.")
    if path.is_dir():
        return _load_folder(path)
    if path.suffix == ".keras":
        import_tensorflow()
        from kerasdl.prediction import runs

        if path.name == "model.keras" and (path.parent / _CONFIG).is_file():
            return runs.load_run(path.parent)
        return runs.load_model(path)
    from kerasdl.export.litert import DeviceModel

    return DeviceModel(path)


def _load_folder(folder: Path) -> Any:
    if not (folder / _CONFIG).is_file():
        names = [child.name for child in folder.iterdir()]
        versions = [int(name) for name in names if name.isdecimal()]
        if versions and not (folder / _SAVED_MODEL).is_file():
            folder = folder / str(max(versions))
        if (folder / _SAVED_MODEL).is_file():
            from kerasdl.export.served import ServedModel

            return ServedModel(folder)
    import_tensorflow()
    from kerasdl.prediction.runs import load_run

    return load_run(folder)
