"""The run's folder: whole files, one run at a time, one config a folder."""

import json

import pytest

from kerasdl.errors import InputError
from kerasdl.reports.curves import column
from kerasdl.training.workdir import (
    MetricsLog,
    Workdir,
    read_run,
    write_json,
)


def read_rows(workdir):
    return [
        json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]


CONFIG = {"seed": 3, "epochs": 2, "data": {"root": "", "test": ""}}


def test_config_json_says_what_ran(tmp_path):
    Workdir(tmp_path / "run", "captioning", CONFIG).create().close()
    run = read_run(tmp_path / "run")
    assert run["job"] == "captioning"
    assert run["config"] == CONFIG
    assert run["seed"] == 3
    assert run["command"].startswith("python ")
    assert {"python", "tensorflow", "keras", "numpy"} <= run["versions"].keys()


def test_another_config_is_refused_by_field(tmp_path):
    Workdir(tmp_path, "captioning", CONFIG).create().close()
    other = CONFIG | {"seed": 4, "data": {"root": "x", "test": ""}}
    with pytest.raises(InputError, match=r"data\.root \('' -> 'x'\), seed \(3 -> 4\)"):
        Workdir(tmp_path, "captioning", other)
    assert read_run(tmp_path)["config"] == CONFIG


def test_more_epochs_and_a_test_set_are_accepted(tmp_path):
    Workdir(tmp_path, "captioning", CONFIG).create().close()
    more = CONFIG | {"epochs": 5, "data": {"root": "", "test": "t"}}
    Workdir(tmp_path, "captioning", more).create().close()
    assert read_run(tmp_path)["config"] == more


def test_another_job_is_refused(tmp_path):
    Workdir(tmp_path, "captioning", CONFIG).create().close()
    with pytest.raises(InputError, match="holds a captioning run, not a text run"):
        Workdir(tmp_path, "text", CONFIG)


def test_a_folder_in_use_is_refused(tmp_path):
    first = Workdir(tmp_path, "captioning", CONFIG).create()
    with pytest.raises(InputError, match="in use by another run"):
        Workdir(tmp_path, "captioning", CONFIG)
    first.close()
    Workdir(tmp_path, "captioning", CONFIG).create().close()


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--workdir .*file"):
        Workdir(tmp_path / "file" / "run", "captioning", CONFIG)


@pytest.mark.parametrize("text", ["", "[]", '{"job": 1, "config": {}}', '{"job": "x"}'])
def test_damaged_config(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: not a run's config"):
        read_run(tmp_path)


def test_no_run(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        read_run(tmp_path / "nothing")


def test_metrics_rows_above_the_checkpoint_are_written_again(tmp_path):
    workdir = Workdir(tmp_path, "captioning", CONFIG).create()
    log = MetricsLog(workdir)
    for epoch in (1, 2, 3):
        log.append({"epoch": epoch, "train/loss": 1.0 / epoch})
    with open(workdir / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "train/lo')  # a kill in the middle of a row
    again = MetricsLog(workdir)
    again.restore(log.rows[:2])
    again.append({"epoch": 3, "train/loss": 0.25})
    rows = read_rows(workdir)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["train/loss"] == 0.25
    assert rows == again.rows
    assert column(rows, "train/loss") == ([1, 2, 3], [1.0, 0.5, 0.25])
    assert list((workdir / "tensorboard").iterdir())


def test_a_cut_last_row_is_mended(tmp_path):
    """A row cut by a kill must not swallow the row that is appended after it."""
    workdir = Workdir(tmp_path, "captioning", CONFIG).create()
    log = MetricsLog(workdir)
    log.append({"epoch": 1, "train/loss": 1.0})
    with open(workdir / "metrics.jsonl", "a") as file:
        file.write('{"epo')
    again = MetricsLog(workdir)
    again.restore(log.rows[:1])
    again.append({"epoch": 2, "train/loss": 0.5})
    rows = read_rows(workdir)
    assert [row["epoch"] for row in rows] == [1, 2]


def test_json_is_readable(tmp_path):
    write_json(tmp_path / "a.json", {"word": "Tübingen"})
    assert "Tübingen" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_constructing_one_makes_nothing(tmp_path):
    Workdir(tmp_path / "a" / "b", "captioning", CONFIG).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("root", ["", "  "])
def test_no_name_is_refused(root):
    with pytest.raises(InputError, match="--workdir must name a folder, got ''"):
        Workdir(root, "captioning", CONFIG)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--workdir is a file"):
        Workdir(tmp_path / "file", "captioning", CONFIG)


def test_a_name_too_long_is_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        Workdir(tmp_path / ("x" * 300), "captioning", CONFIG)


def test_checkpoints_without_a_config_are_refused(tmp_path):
    workdir = Workdir(tmp_path, "captioning", CONFIG).create()
    (workdir.checkpoints / "latest.npz").write_bytes(b"")
    workdir.close()
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"holds checkpoints but no config\.json"):
        Workdir(tmp_path, "captioning", CONFIG)


def test_fewer_epochs_keep_the_config(tmp_path):
    Workdir(tmp_path, "captioning", CONFIG).create().close()
    Workdir(tmp_path, "captioning", CONFIG | {"epochs": 1}).create().close()
    assert read_run(tmp_path)["config"] == CONFIG


def test_a_report_may_show_more(tmp_path):
    before = CONFIG | {"report": {"samples": 3}}
    after = CONFIG | {"report": {"samples": 9}}
    Workdir(tmp_path, "captioning", before).create().close()
    Workdir(tmp_path, "captioning", after).create().close()
    assert read_run(tmp_path)["config"] == after


ROWS = [{"epoch": n, "train/loss": 1.0 / n} for n in (1, 2, 3)]
LINES = [json.dumps(row) + "\n" for row in ROWS]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "".join(LINES[1:]),
        "".join([LINES[0], *LINES]),
        LINES[0] + LINES[1][:9] + "\n" + LINES[2],
        LINES[0] + LINES[1].replace("0.5", "0.7") + LINES[2],
        "\x00" * 50,
        "[1]\n",
    ],
    ids=["missing", "empty", "first", "doubled", "torn", "changed", "zeros", "list"],
)
def test_damaged_rows_are_written_again_and_it_is_said(tmp_path, capsys, text):
    workdir = Workdir(tmp_path, "captioning", CONFIG).create()
    if text is not None:
        (workdir / "metrics.jsonl").write_text(text)
    MetricsLog(workdir).restore(ROWS)
    assert read_rows(workdir) == ROWS
    assert "damaged or missing; its 3 rows are written again" in capsys.readouterr().err


def test_a_tensorboard_that_is_a_file_is_one_line(tmp_path):
    workdir = Workdir(tmp_path, "captioning", CONFIG).create()
    (workdir / "tensorboard").write_text("")
    with pytest.raises(InputError, match=r"tensorboard cannot be written"):
        MetricsLog(workdir).append(ROWS[0])
