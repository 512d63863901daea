"""Shared by all tests."""

# Scripts that make stored golden values; they need PyTorch, the tests do not.
collect_ignore_glob = ["**/make_*.py"]
