"""Shared by all tests."""

import pytest

# Scripts that make stored golden values; they need PyTorch, the tests do not.
collect_ignore_glob = ["**/make_*.py"]


@pytest.fixture(autouse=True, scope="module")
def _seeded_module():
    """What the fixtures of a module draw does not depend on the modules before."""
    _seed()


@pytest.fixture(autouse=True)
def _seeded():
    """What a test draws does not depend on the tests before."""
    _seed()


def _seed():
    # Imported at the top, it would print what TensorFlow says while it loads after
    # pytest's closing line.
    import keras

    keras.utils.set_random_seed(0)
