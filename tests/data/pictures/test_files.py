"""One rule for what a picture file is."""

import os

import pytest

from kerasdl.data.pictures.decoding import read_picture
from kerasdl.data.pictures.files import (
    MAX_FILE_BYTES,
    find_pictures,
    is_picture_name,
    read_picture_bytes,
)
from kerasdl.errors import InputError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("folder.gif/A.JPEG", True),
        ("a.Png", True),
        ("a.bmp", True),
        ("a.webp", True),
        ("a.tif", True),
        ("a.TIFF", True),
        ("imageNotFound.gif", False),
        ("a.jpg.txt", False),
        ("jpg", False),
        (".jpg", False),
        ("._one.jpg", False),
        ("a/.hidden.png", False),
        ("", False),
    ],
)
def test_picture_names(name, expected):
    assert is_picture_name(name) is expected


def write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names_below(root, **options):
    found = find_pictures(root, **options)
    return [
        [os.path.relpath(path, root) for path in paths]
        for paths in (found.pictures, found.others)
    ]


def test_pictures_are_found_in_the_order_of_their_names(tmp_path):
    write(
        tmp_path, "b/2.png", "b/10.PNG", "a/deep/x.tif", "z.jpg", "a/notes.txt", "u.gif"
    )
    write(tmp_path, "._z.jpg", ".DS_Store", "Thumbs.db", ".git/x.png", "a/desktop.ini")
    assert names_below(tmp_path) == [
        ["z.jpg", "a/deep/x.tif", "b/10.PNG", "b/2.png"],
        ["u.gif", "a/notes.txt"],
    ]
    assert names_below(tmp_path, deep=False) == [["z.jpg"], ["u.gif"]]
    (note,) = find_pictures(tmp_path).note(tmp_path)
    assert note.endswith("2 left out, no pictures by their endings: u.gif, a/notes.txt")


def test_links_are_followed_once_each(tmp_path):
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    write(tmp_path, "data/a/1.png", "data/b/2.png", "elsewhere/3.png", "4.png")
    os.symlink(elsewhere, root / "b" / "more")
    os.symlink(elsewhere, root / "again")
    os.symlink(root, root / "a" / "loop")
    os.symlink(root / "b", root / "a_link")
    os.symlink(tmp_path / "4.png", root / "link.png")
    os.symlink("nowhere.png", root / "gone.png")
    pictures, others = names_below(root)
    assert others == []
    assert pictures[:3] == ["gone.png", "link.png", "a/1.png"]
    assert "b/2.png" in pictures and len(pictures) == 5
    with pytest.raises(InputError, match=r"gone.png: cannot be read: No such file"):
        read_picture_bytes(root / "gone.png")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="none: cannot be read: No such file"):
        find_pictures(tmp_path / "none")


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    os.symlink("/dev/zero", tmp_path / "zero.jpg")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(InputError, match=rf"{name}: .*expected a regular file"):
            read_picture(tmp_path / name)
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(8 * 2**30)
    with pytest.raises(InputError, match=rf"sparse.jpg: .* {MAX_FILE_BYTES:,} bytes"):
        read_picture(tmp_path / "sparse.jpg")
