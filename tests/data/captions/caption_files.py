"""What the tests of the caption readers share."""

from pathlib import Path

from hypothesis import settings

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

examples = settings(max_examples=25, deadline=None)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def summary(pictures):
    return [(picture.name, picture.captions) for picture in pictures]


def table_of(names):
    return "image,caption\n" + "".join(f"{name},Picture {name}\n" for name in names)
