"""Serves a SavedModel over HTTP, on TensorFlow Serving's REST paths.

    python -m kerasdl.export.serve --model=served/captioner --port=8501
    curl -d '{"instances": [{"b64": "..."}]}' \\
        http://127.0.0.1:8501/v1/models/captioner:predict

`--model` is a SavedModel's folder or a folder of its versions, which is watched: a new
version is served as soon as it is loaded. A page to try the model is at `/`. Needs
`pip install "kerasdl[serve]"`; docs/serving.md has the rest.
"""

import dataclasses

from absl import flags

from kerasdl.errors import InputError
from kerasdl.export.serving.options import Options
from kerasdl.training import command


def main() -> None:
    """Runs the command."""
    try:
        from kerasdl.export.serving.server import serve
    except ModuleNotFoundError as error:
        raise InputError(
            f'{error.name} is not installed; `pip install "kerasdl[serve]"` brings it.'
        ) from error
    given = {field.name: flags.FLAGS[field.name].value for field in OPTIONS}
    serve(Options(**given))


OPTIONS = dataclasses.fields(Options)

if __name__ == "__main__":
    for option in OPTIONS:
        meaning = option.metadata["help"]
        if option.type is int:
            flags.DEFINE_integer(
                option.name, option.default, meaning, lower_bound=option.metadata["least"]
            )
        else:
            flags.DEFINE_string(option.name, option.default, meaning)
    command.run(main)
