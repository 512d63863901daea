"""Finished runs side by side, from their folders alone."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kerasdl.errors import InputError
from kerasdl.reports.comparison import comparison_lines, read_runs, write_comparison


def make_run(root, seed=0, job="text", rate=0.1, accuracy=0.5, rows=3, **metrics):
    root.mkdir(parents=True)
    config = {"seed": seed, "learning_rate": rate, "report": {"samples": seed}}
    run = {"job": job, "config": config, "seed": seed, "command": "", "versions": {}}
    (root / "config.json").write_text(json.dumps(run))
    metrics = {"val/accuracy": accuracy, "seconds": 75.0, "parameters": 12_345, **metrics}
    (root / "metrics.json").write_text(json.dumps(metrics))
    lines = [
        {"epoch": n, "val/loss": 1 / n, "train/learning_rate": 0.1, "seconds": 1.0}
        for n in range(1, rows + 1)
    ]
    (root / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    (root / "report.html").write_text("")
    return root


def test_the_table_has_a_column_for_each_run_and_what_differs(tmp_path):
    folders = [
        make_run(tmp_path / "one", accuracy=0.5),
        make_run(tmp_path / "two", seed=1, rate=0.2, accuracy=0.75, **{"val/ece": 0.1}),
    ]
    cells = [line.split("  ") for line in comparison_lines(read_runs(folders))]
    cells = [[part.strip() for part in line if part.strip()] for line in cells]
    assert cells == [
        ["one", "two"],
        ["validation accuracy", "0.5", "0.75"],
        ["training time", "1 min 15 s", "1 min 15 s"],
        ["parameters", "12,345", "12,345"],
        ["validation expected calibration error", "-", "0.1"],
        ["seed", "0", "1"],
        ["learning_rate", "0.1", "0.2"],
    ]


def test_many_runs_wrap_at_80_columns(tmp_path):
    runs = read_runs(make_run(tmp_path / f"a_run_{n}", seed=n) for n in range(9))
    lines = comparison_lines(runs)
    assert max(map(len, lines)) <= 80
    assert sum(line.count("a_run_") for line in lines) == 9
    assert lines.count("") == len([x for x in lines if x.startswith("seed")]) - 1 > 0


def test_a_run_of_several_models_stands_for_each(tmp_path):
    top = make_run(tmp_path / "all", rows=0)
    for name in ("average", "lstm"):
        make_run(top / name)
    assert list(read_runs([top])) == ["average", "lstm"]
    alone = make_run(tmp_path / "lstm")
    assert list(read_runs([top, alone, str(alone) + "/"])) == [
        "all/average",
        "all/lstm",
        f"{tmp_path.name}/lstm",
    ]


def test_the_page_overlays_curves_and_links_reports(tmp_path):
    folders = [make_run(tmp_path / "runs" / name) for name in ("one", "<two>")]
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folders[0] / "samples.png")
    path = tmp_path / "pages" / "comparison.html"
    write_comparison(read_runs(folders), path)
    page = path.read_text()
    for name in ("one", "&lt;two&gt;"):
        assert f'<a href="../runs/{name}/report.html">{name}</a>' in page
        assert f"<td>{name}</td>" in page
        assert f"{name}: 0.3333" in page  # under the pointer at epoch 3
    assert page.count("<svg") == 1 and page.count("data:image/jpeg") == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: [], "name the folders"),
        (lambda root: [root / "none"], "holds no finished run"),
        (
            lambda root: [make_run(root / "a"), make_run(root / "b", job="style")],
            "'a' is a text run, 'b' is a style run",
        ),
    ],
)
def test_refusals_are_one_line(make, message, tmp_path, monkeypatch, capsys):
    folders = [str(folder) for folder in make(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["compare", *folders])
    if folders:
        with pytest.raises(InputError, match=message):
            read_runs(folders)
    else:
        main = runpy.run_module("kerasdl.trainers.compare")["main"]
        with pytest.raises(InputError, match=message):
            main([])


def test_the_command(tmp_path):
    folders = [make_run(tmp_path / "one"), make_run(tmp_path / "two", seed=1)]
    command = [sys.executable, "-m", "kerasdl.trainers.compare", *map(str, folders)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "validation accuracy" in done.stdout
    assert done.stderr == "page: comparison.html\n"
    assert (tmp_path / "comparison.html").stat().st_size > 5000
