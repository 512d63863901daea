"""Files appear whole or not at all, and in an order that a power cut cannot undo."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kerasdl import files
from kerasdl.errors import InputError


@pytest.fixture
def calls(monkeypatch):
    """The system calls that matter, in order, as `(name, file or folder)`."""
    seen, names = [], {}

    def recorded(name):
        original = getattr(os, name)

        def call(first, *rest, **more):
            result = original(first, *rest, **more)
            if name == "open":
                names[result] = Path(first).name
            seen.append(
                (name, names.get(first, first if name == "fsync" else Path(first).name))
            )
            return result

        return call

    for name in ("open", "fsync", "replace"):
        monkeypatch.setattr(os, name, recorded(name))
    return seen


def test_the_file_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    calls, tmp_path
):
    files.write_text(tmp_path / "a.txt", "text")
    temporary = f".{os.getpid()}.a.txt"
    assert [call for call in calls if call[0] != "open"] == [
        ("fsync", temporary),
        ("replace", temporary),
        ("fsync", tmp_path.name),
    ]
    assert (tmp_path / "a.txt").read_text() == "text"


def test_a_new_folder_is_flushed_into_the_one_above(calls, tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    flushed = [name for call, name in calls if call == "fsync"]
    assert sorted(flushed) == sorted(["a", tmp_path.name])
    calls.clear()
    files.make_folder(tmp_path / "a" / "b")
    assert calls == []


def test_an_appended_line_is_flushed(monkeypatch, tmp_path):
    flushed = []
    original = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(original(handle)))
    files.append_line(tmp_path / "rows.jsonl", "{}")
    assert len(flushed) == 2  # the new file, and the folder that names it
    files.append_line(tmp_path / "rows.jsonl", "[]")
    assert len(flushed) == 3
    assert (tmp_path / "rows.jsonl").read_text() == "{}\n[]\n"


def test_the_old_file_stays_on_failure(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_with_the_room_needed(monkeypatch, tmp_path, number):
    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"a\.json cannot be written: the disk is full"):
        files.write_json(tmp_path / "a.json", [1, 2, 3])
    with pytest.raises(InputError, match=r"it takes 1,000,000 bytes, and [0-9,]+ bytes"):
        files.write_text(tmp_path / "a.txt", "x" * 1_000_000)
    assert list(tmp_path.iterdir()) == []


def test_a_vague_error_on_a_full_disk(monkeypatch, tmp_path):
    """h5py tells no number; how much is free tells."""

    def write(message):
        with files.atomic_path(tmp_path / "model.keras"):
            raise OSError(message)

    with pytest.raises(InputError, match=r"cannot be written: can't synchronously"):
        write("can't synchronously write data")
    monkeypatch.setattr(files, "_free", lambda path: 12)
    with pytest.raises(InputError, match="full; it takes more, and 12 bytes are free"):
        write("can't synchronously write data")


def test_other_errors_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"none/a\.txt cannot be written: No such file"):
        files.write_text(tmp_path / "none" / "a.txt", "")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run cannot be written: Not a directory"):
        files.make_folder(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        files.write_text(tmp_path / ("x" * 300), "")


def test_sweeping_spares_the_living(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine, theirs = f".{os.getpid()}.a.txt", f".{ended.pid}.b.txt"
    for name in (mine, theirs, ".hidden", "c.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / f".{ended.pid}.folder").mkdir()
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {mine, ".hidden", "c.txt"}


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_on_a_disk_that_is_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        files.write_text(disk / "a.txt", "kept")
        with pytest.raises(InputError, match="the disk is full; it takes 200,000 bytes"):
            files.write_text(disk / "a.txt", "x" * 200_000)
        files.append_line(disk / "rows.jsonl", "{}")
        with pytest.raises(InputError, match="the disk is full; it takes 200,001 bytes"):
            files.append_line(disk / "rows.jsonl", "x" * 200_000)
        assert (disk / "rows.jsonl").read_text() == "{}\n"
        assert (disk / "a.txt").read_text() == "kept"
        files.write_text(disk / "b.txt", "there is room again")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_regular_files_and_links_to_them(tmp_path):
    (tmp_path / "a").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with files.open_regular(tmp_path / name, max_bytes=4) as file:
            assert file.read() == b"1234"


def test_what_is_no_regular_file_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        message = f"{path}: cannot be read: expected a regular file."
        with pytest.raises(InputError, match=re.escape(message)):
            files.open_regular(path)
    with pytest.raises(InputError, match=r"cannot be read: Is a directory\.$"):
        files.open_regular(tmp_path)
    with pytest.raises(InputError, match=r"absent: cannot be read: No such file"):
        files.open_regular(tmp_path / "absent")
    with pytest.raises(InputError, match="cannot be read: embedded null"):
        files.open_regular("a\0b")


def test_sizes_are_bounded(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(InputError, match="at most 1,000,000 bytes, got 8,589,934,592"):
        files.open_regular(tmp_path / "sparse", max_bytes=1_000_000)
