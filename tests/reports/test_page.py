"""The report page: what it shows, escaped, with its pictures inside."""

import base64
import re

from PIL import Image

from kerasdl.reports.page import Section, Table, write_report
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
    for text in (
        "A title",
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
