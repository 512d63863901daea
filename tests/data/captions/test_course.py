"""The course's HDF5 files, written here with few pictures."""

import json
import re

import h5py
import numpy as np
import pytest

from kerasdl.data.captions.readers import read_captions
from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import UNK, CaptionVocabulary
from kerasdl.errors import InputError
from tests.data.captions.caption_files import summary

WORDS = ["<NULL>", "<START>", "<END>", "<UNK>", "a", "dog", "runs", "cat"]
FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)
CAPTIONS = {
    "train": ([[1, 4, 5, 6, 2, 0], [1, 4, 3, 2, 0, 0], [1, 4, 7, 2, 0, 0]], [2, 0, 2]),
    "val": ([[1, 5, 2, 0, 0, 0]], [1]),
}


def write(root, chunks=None, **replaced):
    with h5py.File(root / "coco2014_captions.h5", "w") as file:
        for split, (captions, pictures) in CAPTIONS.items():
            arrays = {f"{split}_captions": captions, f"{split}_image_idxs": pictures}
            for name, value in arrays.items():
                file[name] = replaced.get(name, np.array(value, np.int32))
    words = {word: index for index, word in enumerate(WORDS)}
    vocabulary = {"idx_to_word": WORDS, "word_to_idx": words}
    (root / "coco2014_vocab.json").write_text(
        json.dumps(replaced.get("vocabulary", vocabulary))
    )
    for split in CAPTIONS:
        urls = "".join(f"http://images.org/{split}{i}.jpg\n" for i in range(3))
        (root / f"{split}2014_urls.txt").write_text(urls)
        with h5py.File(root / f"{split}2014_vgg16_fc7_pca.h5", "w") as file:
            features = replaced.get("features", FEATURES)
            file.create_dataset("features", data=features, chunks=chunks)
    return root


@pytest.mark.parametrize("chunks", [None, (2, 4)])
def test_captions_and_features(tmp_path, chunks):
    dataset = read_captions(write(tmp_path, chunks))
    assert summary(dataset.train) == [
        ("http://images.org/train2.jpg", ("a dog runs", "a cat")),
        ("http://images.org/train0.jpg", ("a <UNK>",)),
    ]
    assert summary(dataset.val) == [("http://images.org/val1.jpg", ("dog",))]
    np.testing.assert_array_equal(dataset.train[0].features, FEATURES[2])
    np.testing.assert_array_equal(dataset.train[1].features, FEATURES[0])
    # The unknown word of the data set is the unknown word of a captioner.
    tokens = [w for p in dataset.train for c in p.captions for w in caption_tokens(c)]
    vocabulary = CaptionVocabulary.build(tokens)
    assert "<unk>" not in vocabulary
    assert vocabulary.encode(caption_tokens("a <UNK>"))[1] == UNK


def test_all_of_fc7_without_its_principal_components(tmp_path):
    write(tmp_path)
    for split in CAPTIONS:
        path = tmp_path / f"{split}2014_vgg16_fc7_pca.h5"
        path.rename(tmp_path / f"{split}2014_vgg16_fc7.h5")
    assert read_captions(tmp_path).train[0].features.shape == (4,)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"train_captions": np.full((3, 2), 8)},
            "captions from 0 to 7, got 8 to 8",
        ),
        ({"train_captions": np.full((3, 2), -1)}, "from 0 to 7, got -1 to -1"),
        ({"train_captions": np.ones((3, 2))}, "2 dimensions of whole numbers, got float"),
        ({"train_captions": np.ones(3, int)}, "of 2 dimensions .*, got int64 of shape"),
        (
            {"train_image_idxs": np.array([0, 1, 3])},
            "image_idxs from 0 to 2, got 0",
        ),
        (
            {"train_image_idxs": np.array([0, 1])},
            "picture for each of 3 captions, got 2",
        ),
        ({"features": FEATURES[:2]}, "features of 3 pictures, .*, got float32 of shape"),
        ({"features": FEATURES.astype(int)}, "floating-point numbers in 2 .*got int64"),
        ({"vocabulary": {"idx_to_word": WORDS[1:]}}, "vocab.json: .* the first <NULL>"),
        ({"vocabulary": []}, r"vocab.json: expected an object .*, got \[\]"),
        (
            {"val_captions": np.ones((1, 3), int)},
            r"val_captions\[0\]: expected text",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, replaced, message):
    write(tmp_path, **replaced)
    with pytest.raises(InputError, match=message):
        read_captions(tmp_path)


def test_files_that_read_others_are_refused(tmp_path):
    write(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(48))
    path = tmp_path / "train2014_vgg16_fc7_pca.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "features", (3, 4), np.float32, external=[(str(secret), 0, 48)]
        )
    with pytest.raises(InputError, match=r"features. is stored in another file"):
        read_captions(tmp_path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_captions(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "val2014_urls.txt").unlink()
    with pytest.raises(InputError, match=r"val2014_urls.txt: cannot be read: No such"):
        read_captions(tmp_path)
    (tmp_path / "train2014_vgg16_fc7_pca.h5").unlink()
    with pytest.raises(InputError, match=r"train2014_vgg16_fc7_pca.h5: cannot be read"):
        read_captions(tmp_path)
