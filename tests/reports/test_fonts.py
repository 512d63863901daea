"""Captions in any script are drawn with letters, not boxes."""

import importlib.util
import warnings

import numpy as np
import pytest
from PIL import Image

from kerasdl.reports.fonts import BASE_FAMILY, families_for
from kerasdl.reports.samples import Sample, save_sample_grid, wrapped

SCRIPTS = {
    "Japanese": "草原を走る茶色の犬。",
    "Chinese": "一只棕色的狗在草地上奔跑。",
    "Korean": "갈색 개가 풀밭을 달린다.",
    "Hindi": "एक भूरा कुत्ता घास पर दौड़ता है।",
    "Arabic": "كلب بني يركض على العشب.",
    "Thai": "สุนัขสีน้ำตาลวิ่งบนหญ้า",
    "Tamil": "ஒரு பழுப்பு நாய் ஓடுகிறது.",
    "Telugu": "ఒక గోధుమ కుక్క పరిగెడుతోంది.",
    "Greek": "Ένας καφέ σκύλος τρέχει.",
    "Russian": "Коричневая собака бежит.",
}
packaged = pytest.mark.skipif(
    importlib.util.find_spec("cvttf_NotoSansCJK_Regular") is None,
    reason='the fonts of the extra "kerasdl[fonts]" are not installed',
)


def test_scripts_of_the_base_font_need_no_other():
    assert families_for(["A dog", "Ένας σκύλος", "собака", ""]) == [BASE_FAMILY]


@packaged
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_glyph_is_found(tmp_path, script):
    sample = Sample(np.zeros((9, 9, 3), np.uint8), script, (SCRIPTS[script], "A dog."))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a missing glyph
        save_sample_grid([sample], tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size[0] > 100


def test_characters_that_no_font_has_are_no_error(tmp_path):
    sample = Sample(np.zeros((9, 9, 3), np.uint8), "\U0010fffd", ("A dog \U0010fffd",))
    save_sample_grid([sample], tmp_path / "samples.png")
    assert (tmp_path / "samples.png").is_file()


def test_wide_characters_count_twice_when_lines_are_wrapped():
    assert wrapped("犬" * 45).split("\n") == ["犬" * 21, "犬" * 21, "犬" * 3]
    assert wrapped("dog " * 12).split("\n") == ["dog " * 9 + "dog", "dog dog"]
