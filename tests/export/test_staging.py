"""Exports appear whole with their manifest, whatever befalls their process."""

import contextlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kerasdl.errors import InputError
from kerasdl.export.manifest import described
from kerasdl.export.proof import file_entry
from kerasdl.export.staging import publish, staged
from tests.faults.killer import Killed, Killer


def export(path, content):
    """What `kerasdl.export.tflite` does with files that it has written and checked."""
    with staged(path.parent) as folder:
        model, proof = folder / path.name, folder / f"{path.name}.proof.npz"
        model.write_text(content)
        proof.write_text(f"proof of {content}")
        files = {file.name: file_entry(file) for file in (model, proof)}
        entry = {"job": "keras", "files": files, "proof": proof.name}
        publish(folder, path, entry)
    return entry


def entries(folder):
    manifest = folder / "manifest.json"
    return json.loads(manifest.read_text()) if manifest.exists() else {}


def check(path, contents):
    """The file, if there is one, is one of `contents`, and described with its proof."""
    if not path.exists():
        return
    content = path.read_text()
    assert content in contents
    entry = described(entries(path.parent), path)
    for name, written in entry["files"].items():
        assert file_entry(path.parent / name) == written
    assert (path.parent / entry["proof"]).read_text() == f"proof of {content}"


@pytest.mark.parametrize("moment", range(24))
@pytest.mark.parametrize("before", [None, "old"])
def test_a_killed_export_leaves_a_file_that_the_manifest_describes(
    tmp_path, monkeypatch, before, moment
):
    path, other = tmp_path / "m.tflite", tmp_path / "other.tflite"
    export(other, "other")
    if before:
        export(path, before)
    with monkeypatch.context() as patch:
        killer = Killer(patch, moment)
        with contextlib.suppress(Killed):
            export(path, "new")
    assert killer.died or moment > 12, "an export has fewer events than it should"
    check(path, {"new", before} if killer.died else {"new"})
    assert before is None or path.exists(), "a killed export keeps the file before it"
    check(other, {"other"})
    entry = export(path, "newer")
    check(path, {"newer"})
    assert entries(tmp_path) == {
        path.name: entry,
        other.name: entries(tmp_path)[other.name],
    }


def test_exporting_again_leaves_two_files_and_the_manifest(tmp_path):
    for content in ("one", "two", "three"):
        entry = export(tmp_path / "m.tflite", content)
        check(tmp_path / "m.tflite", {content})
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"m.tflite", entry["proof"], "manifest.json"}


def test_exports_into_one_folder_keep_each_others_entries(tmp_path):
    names = [f"{number}.tflite" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: export(tmp_path / name, name), names))
    assert set(entries(tmp_path)) == set(names)
    for name in names:
        check(tmp_path / name, {name})


def test_an_entry_of_a_file_that_is_gone_is_dropped(tmp_path):
    export(tmp_path / "a.tflite", "a")
    (tmp_path / "a.tflite").unlink()
    export(tmp_path / "b.tflite", "b")
    assert set(entries(tmp_path)) == {"b.tflite"}


def test_what_killed_exports_left_is_swept(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    left = tmp_path / f".export-{gone}-abc"
    left.mkdir()
    (left / "half.tflite").write_text("half")
    running = tmp_path / ".export-1-abc"  # process 1 runs
    running.mkdir()
    with staged(tmp_path) as folder:
        assert folder.is_dir() and not left.exists() and running.exists()
    assert [path.name for path in tmp_path.iterdir()] == [running.name]


def test_a_full_disk_is_one_line_and_nothing_is_left(tmp_path):
    message = r"out cannot be written: the disk is full; it takes more"
    with pytest.raises(InputError, match=message), staged(tmp_path / "out"):
        raise OSError(28, os.strerror(28))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), staged(tmp_path):
        1 / 0  # noqa: B018
