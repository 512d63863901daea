"""Exports checked again: the commands, and files that are not what was written."""

import json
import subprocess
import sys

import numpy as np
import pytest

import kerasdl
from kerasdl.errors import InputError
from kerasdl.export.proof import load_cases, save_cases
from tests.export.isolation import run_without
from tests.export.keras_models import cells_model, draw


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A `.keras` file, and what the command makes of it."""
    root = tmp_path_factory.mktemp("command")
    cells_model().save(root / "m.keras")
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-W",
                "error::RuntimeWarning",
                "-m",
                "kerasdl.export.tflite",
            ),
            *(
                f"--model={root / 'm.keras'}",
                f"--output={root / 'm.tflite'}",
                "--batch=1",
            ),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "6 of 6 answers as the model's" in done.stdout and not done.stderr
    return root / "m.tflite"


def test_predict_and_verify_commands(exported, tmp_path):
    np.save(tmp_path / "x.npy", draw(6, 4))
    out = run_without(
        {"tensorflow", "keras"},
        "import sys, runpy; sys.argv[0] = 'predict'\n"
        "runpy.run_module('kerasdl.export.predict', run_name='__main__')",
        f"--model={exported}",
        f"--input={tmp_path / 'x.npy'}",
        "--json",
    )
    (row,) = map(json.loads, out.splitlines())
    np.testing.assert_allclose(row["y"], cells_model()(draw(1, 6, 4))[0], atol=1e-6)
    out = run_without(
        {"tensorflow", "keras"},
        "import sys, runpy; sys.argv[0] = 'verify'\n"
        "runpy.run_module('kerasdl.export.verify', run_name='__main__')",
        f"--model={exported}",
    )
    assert "as its manifest says" in out and "threads: 2" in out


def copied(exported, folder):
    for name in ("m.tflite", "m.tflite.proof.npz", "manifest.json"):
        (folder / name).write_bytes((exported.parent / name).read_bytes())
    return folder / "m.tflite"


def test_verify_sees_another_file(exported, tmp_path):
    path = copied(exported, tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"m\.tflite: not the file that the manifest"):
        kerasdl.export.verify(path)
    path.unlink()
    with pytest.raises(InputError, match="not the file"):
        kerasdl.export.verify(path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"expected the manifest of m\.tflite"):
        kerasdl.export.verify(path)


def test_verify_sees_another_answer(exported, tmp_path):
    path = copied(exported, tmp_path)
    proof = tmp_path / "m.tflite.proof.npz"
    cases = load_cases(proof)
    cases[2].expected["y"][0] += 0.01
    save_cases(proof, cases)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    from kerasdl.export.proof import file_entry

    manifest["m.tflite"]["files"][proof.name] = file_entry(proof)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"serving_default differs from the model"):
        kerasdl.export.verify(path)


def test_a_truncated_file_is_one_line(exported, tmp_path):
    path = copied(exported, tmp_path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError):
        kerasdl.load(path)
