import pytest

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.pictures.class_folders import LabelledPicture
from kerasdl.errors import InputError


def test_broken_pictures_are_left_out_up_to_a_share():
    pictures = [LabelledPicture(str(i), 0, data=b"ok") for i in range(20)]

    def read(picture, broken=("7",)):
        if picture.name in broken:
            raise InputError(f"{picture.name}: broken")
        return picture.name

    warnings, broken = [], BrokenInputs()
    kept, names = broken.readable(
        pictures, read, "train pictures", warnings.append, lambda items, *_: items
    )
    assert len(kept) == 19 and "7" not in names
    assert warnings == ["skipped: 7: broken"]
    assert (broken.messages, broken.total) == (["7: broken"], 20)
    with pytest.raises(
        InputError, match=r"2 of 20 val pictures cannot be read.*3: broken"
    ):
        BrokenInputs().readable(
            pictures,
            lambda p: read(p, ("3", "9")),
            "val pictures",
            warnings.append,
            lambda items, *_: items,
        )
