"""Weights files that tests write, and what reading them ends with."""

import pytest

from kerasdl.errors import InputError


def written(tmp_path, data, name="weights"):
    """A file of these bytes."""
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refusal(read, path):
    """The message, one line that names the file, with which `read` refuses it."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message
