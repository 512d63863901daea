import numpy as np
import pytest

from kerasdl.data.drawn.shapes import drawn_shapes
from kerasdl.data.pictures.augmentation import Augmentation
from kerasdl.data.pictures.batches import (
    FeatureBatches,
    PictureBatches,
    PictureSplit,
)
from kerasdl.data.pictures.class_folders import LabelledPicture


@pytest.fixture(scope="module")
def split():
    return PictureSplit(drawn_shapes(0, 11, 0, 0, side=32).train)


def test_an_epoch_shows_every_picture_once_and_repeats(split):
    batches = PictureBatches(split, Augmentation(16), 4, seed=5)
    assert len(batches) == 3
    first, again, second = list(batches(0)), list(batches(0)), list(batches(1))
    assert [len(labels) for _, labels in first] == [4, 4, 3]
    for (images, labels), (same, same_labels) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, same_labels)
    for epoch in (first, second):
        labels = np.concatenate([labels for _, labels in epoch])
        assert sorted(labels) == sorted(split.labels)
    assert not np.array_equal(first[0][0], second[0][0])


def test_views_do_not_depend_on_the_other_pictures(split):
    augment = Augmentation(16)
    alone = PictureSplit(split.pictures[3:4])
    (((image,), _),) = PictureBatches(alone, augment, 4, seed=5)(2)
    views = np.concatenate([x for x, _ in PictureBatches(split, augment, 4, seed=5)(2)])
    assert any(np.array_equal(image, view) for view in views)


def test_variants_take_turns(split):
    augment = Augmentation(16)
    batches = PictureBatches(split, augment, 11, seed=5, variants=2)

    def views(epoch):
        return sorted(view.tobytes() for view in next(iter(batches(epoch)))[0])

    assert views(0) == views(2) != views(1)


def test_features_come_in_the_order_of_the_pictures(split):
    features = np.arange(2 * 11, dtype=np.float32).reshape(2, 11, 1)
    pictures = PictureBatches(split, Augmentation(8, 1.0, False), 4, seed=5)
    batches = FeatureBatches(features, split.labels, 4, seed=5)
    assert len(batches) == len(pictures)
    for epoch in range(3):
        for (x, labels), (_, expected) in zip(
            batches(epoch), pictures(epoch), strict=True
        ):
            np.testing.assert_array_equal(labels, expected)
            assert ((x >= 11) == (epoch == 1)).all()


def test_pictures_too_large_to_keep_are_decoded_again(split, monkeypatch):
    monkeypatch.setattr("kerasdl.data.pictures.batches.DECODED_BYTES", 32 * 32 * 3)
    small = PictureSplit(split.pictures)
    assert small.image(0) is small.image(0)
    assert small.image(1) is not small.image(1)
    np.testing.assert_array_equal(small.image(1), split.image(1))


def test_copies_are_counted(split):
    assert PictureSplit(split.pictures[:3] * 2).copies_in(split) == 6
    assert PictureSplit([LabelledPicture("x", 0, data=b"x")]).copies_in(split) == 0
