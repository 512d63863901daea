"""The same model as Keras alone converts it, to tell what an export gains."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kerasdl.errors import InputError
from kerasdl.export import converter
from kerasdl.export.proof import Case
from kerasdl.export.subject import SERVING

if TYPE_CHECKING:
    from kerasdl.export.keras_model import KerasModel


def convert_stock(
    subject: "KerasModel", case: Case, folder: Path
) -> tuple[Path | None, dict[str, Any]]:
    """Converts the user's model with its own layers, for the shapes of one call.

    Args:
        subject: The model.
        case: A call of `SERVING`, whose batch and length become fixed: with any batch,
            Keras's loops do not convert to built-in operations.
        folder: Where the file is written.

    Returns:
        The file, or None and why there is none.
    """
    from kerasdl.export.keras_model import concrete

    module = tf.Module()
    module.weights = [variable.value for variable in subject.model.variables]
    specs = {
        name: tf.TensorSpec(value.shape, value.dtype)
        for name, value in case.inputs.items()
    }
    path = folder / "stock.tflite"
    try:
        call = concrete(subject.caller(subject.model), specs)
        saved = folder / "stock"
        converter.save_module(module, saved, {SERVING: call})
        converter.convert(saved, path, "none", variables=True)
    except InputError as error:
        return None, {"why": str(error)}
    except Exception as error:  # a layer may fail in any way to be traced alone
        return None, {"why": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    return path, {}
