"""The report page: what it shows, escaped, with its pictures inside."""

import base64
import io
import re

import numpy as np
from PIL import Image

from kerasdl.reports.curves import line_chart
from kerasdl.reports.figures import headline
from kerasdl.reports.page import Grid, Section, Sentence, Table, write_report
from kerasdl.reports.samples import Sample
from kerasdl.training.workdir import Workdir


def make_page(tmp_path):
    config = {"seed": 3, "data": {"root": "<b>&"}}
    Workdir(tmp_path, "captioning", config).create().close()
    Image.new("RGB", (3, 2), "red").save(tmp_path / "red.png")
    path = write_report(
        tmp_path,
        title="A title",
        summary="A summary with <tags>.",
        metrics={"val/bleu4": 0.123456, "parameters": 1234567},
        sections=[
            Section("Pictures", "Some text.", pictures=[tmp_path / "red.png"]),
            Section("Numbers", tables=[Table(["split", "n"], [["val", 12]])]),
        ],
        notes=["A note."],
    )
    return path.read_text(encoding="utf-8")


def test_figures_text_and_tables_are_shown(tmp_path):
    page = make_page(tmp_path)
    assert page.index("0.1235") < page.index("Some text.") < page.index("val/bleu4")
    for text in (
        "A title",
        "validation BLEU-4",
        "0.1235",
        "1,234,567",
        "Some text.",
        "A note.",
        "<td>12</td>",
    ):
        assert text in page


def test_text_is_escaped(tmp_path):
    page = make_page(tmp_path)
    assert "A summary with &lt;tags&gt;." in page
    assert "<b>&" not in page


def test_pictures_are_inlined_byte_for_byte(tmp_path):
    page = make_page(tmp_path)
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(data) == (tmp_path / "red.png").read_bytes()


def test_grids_sentences_and_charts_are_on_the_page(tmp_path):
    Workdir(tmp_path, "text", {"seed": 3}).create().close()
    big = np.full((900, 600, 3), 200, np.uint8)
    path = write_report(
        tmp_path,
        "A title",
        "",
        {},
        [
            Section(
                "All",
                grids=[Grid([Sample(big, "one & only", ("a line",), True)])],
                sentences=[Sentence("bad 0.90 (GT: good)", False, [("not", 0.5)])],
                charts=[line_chart({"loss": ([1, 2], [2, 1])}, "epoch", "nats")],
            )
        ],
        links={"other": "other/report.html"},
    )
    page = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (320, 480)
    assert 'alt="one &amp; only: a line"' in page
    assert '<span class="right">a line</span>' in page
    assert '<b class="wrong">bad 0.90 (GT: good)</b>' in page
    assert '<i style="background: rgb(230 159 0 / 0.4)">not</i>' in page
    assert "<svg" in page and "&lt;svg" not in page
    assert '<a href="other/report.html">other</a>' in page
    assert '<a href="config.json">config.json</a>' in page


def test_headlines_are_those_of_the_held_out_split():
    metrics = {"train/cider": 2.0, "val/cider": 1.0, "test/cider": 0.9, "test/bleu4": 0.3}
    assert headline("captioning", metrics) == ["test/cider", "test/bleu4"]
    metrics = {"val/accuracy": 0.9, "val/accuracy_before": 0.4, "test/accuracy": 0.8}
    assert headline("transfer", metrics | {"seconds": 2}) == [
        "test/accuracy", "val/accuracy_before", "seconds",
    ]  # fmt: skip
    assert headline("style", {"train/loss": 3.0, "parameters": 7}) == [
        "train/loss", "parameters",
    ]  # fmt: skip
