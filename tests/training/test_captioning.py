"""The parts of the captioning trainer: data sets, broken pictures, batches, scores."""

import io

import keras
import numpy as np
import pytest
from PIL import Image

from kerasdl.configs.captioning import default
from kerasdl.data.captions.readers import CaptionedPicture
from kerasdl.data.captions.vocabulary import END, NULL, START, CaptionVocabulary
from kerasdl.errors import InputError
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.captioner import ImageCaptioner
from kerasdl.models.picture_views import view_of
from kerasdl.training import captioning
from kerasdl.training.caption_batches import CaptionBatches, chosen_captions
from kerasdl.training.caption_features import FeatureExtractor, Split
from kerasdl.training.caption_scoring import CaptionScorer

WORDS = ("a", "red", "blue", "circle", "square")
CAPTIONS = [
    ("a red circle", "a circle"),
    ("a blue square", "a square"),
    ("a blue circle", "circle"),
]


def small_config():
    config = default.get_config()
    config.batch_size = 2
    return config


def encoded(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(captions=CAPTIONS):
    return [
        CaptionedPicture(f"{i}.png", tuple(c), data=encoded(60 * i))
        for i, c in enumerate(captions)
    ]


@pytest.fixture
def captioner():
    """A captioner on a backbone of one layer, which averages a picture's channels."""
    backbone = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()], name="mean"
    )
    return ImageCaptioner(backbone, CaptionDecoder(len(WORDS) + 4, 3, units=4))


def make_split(captions=CAPTIONS):
    features = np.arange(3 * len(captions), dtype="float32").reshape(-1, 3)
    return Split(pictures(captions), features)


def make_batches(config=None, captions=CAPTIONS):
    vocabulary = CaptionVocabulary.build(WORDS)
    return CaptionBatches(make_split(captions), vocabulary, config or small_config())


def test_each_caption_once_an_epoch_with_its_picture():
    batches = make_batches()
    assert len(batches) == 3
    vocabulary = CaptionVocabulary.build(WORDS)
    seen = []
    for features, inputs, targets in batches(0):
        for row, tokens, expected in zip(features, inputs, targets, strict=True):
            assert tokens[0] == START
            words = vocabulary.decode(np.array(expected))
            length = len(words.split())
            assert expected[length] == END
            np.testing.assert_array_equal(tokens[1 : length + 1], expected[:length])
            assert not np.any(expected[length + 1 :])
            seen.append((int(row[0]) // 3, words))
    assert sorted(seen) == sorted((i, c) for i, cs in enumerate(CAPTIONS) for c in cs)


def test_batches_are_as_long_as_their_longest_caption():
    for _, inputs, targets in make_batches()(0):
        assert inputs.shape == targets.shape
        assert np.any(np.array(targets)[:, -1] != NULL)


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        config = small_config()
        config.seed = seed
        return [np.array(t).tolist() for _, _, t in make_batches(config)(epoch)]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


def test_the_first_captions_are_chosen_in_file_order():
    config = small_config()
    config.data.captions_per_picture = 1
    chosen = [chosen_captions(p, config) for p in pictures()]
    assert chosen == [("a red circle",), ("a blue square",), ("a blue circle",)]
    assert len(make_batches(config)) == 2


def test_features_come_once_from_the_network_and_then_from_disk(captioner, tmp_path):
    first = FeatureExtractor(captioner, str(tmp_path)).split(pictures(), "train")
    expected = [[60.0 * i] * 3 for i in range(3)]
    np.testing.assert_allclose(first.features, expected, atol=1e-4)
    again = FeatureExtractor(captioner, str(tmp_path))
    captioner.features_of_views = None  # a call would fail
    second = again.split(pictures(), "train")
    np.testing.assert_array_equal(first.features, second.features)


def test_another_backbone_does_not_read_the_same_cache(captioner, tmp_path):
    FeatureExtractor(captioner, str(tmp_path)).split(pictures(), "train")
    backbone = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalMaxPooling2D()], name="max"
    )
    other = ImageCaptioner(backbone, CaptionDecoder(9, 3, units=4))
    FeatureExtractor(other, str(tmp_path)).split(pictures(), "train")
    assert len(list(tmp_path.iterdir())) == 2


def test_one_broken_picture_of_many_is_skipped(captioner, tmp_path, capsys):
    many = pictures(CAPTIONS * 10)
    many[4] = CaptionedPicture("torn.png", ("a",), data=encoded(9)[:40])
    extractor = FeatureExtractor(captioner, str(tmp_path))
    split = extractor.split(many, "train")
    assert len(split.pictures) == len(split.features) == 29
    assert "torn.png" not in [picture.name for picture in split.pictures]
    assert "skipped: torn.png" in capsys.readouterr().err
    assert (len(extractor.broken.messages), extractor.broken.total) == (1, 30)


def test_many_broken_pictures_end_the_run(captioner, tmp_path):
    many = pictures(CAPTIONS * 10)
    for i in (4, 9):
        many[i] = CaptionedPicture(f"torn{i}.png", ("a",), data=b"")
    extractor = FeatureExtractor(captioner, str(tmp_path))
    with pytest.raises(InputError, match=r"2 of 30 train pictures .* 5%; .*torn4\.png"):
        extractor.split(many, "train")


def test_a_missing_layer_is_named_with_those_like_it():
    config = small_config()
    config.model.layer = "block10_ad"
    config.weights = "none"
    with pytest.raises(InputError, match=r"block10_add.*got 'block10_ad'"):
        captioning.build_captioner(config, 9)


def test_the_built_in_captioner_fits_its_config():
    config = small_config()
    config.weights = "none"
    captioner = captioning.build_captioner(config, 9)
    assert captioner.image_size == config.model.image_size
    assert captioner.decoder.cells == config.model.grid**2
    assert captioner.features(np.zeros((1, 160, 160, 3), "float32")).shape == (1, 11200)


def test_scores_are_of_the_captions(captioner):
    vocabulary = CaptionVocabulary.build(WORDS)
    decode = {"max_length": 6, "beam_size": 1, "length_penalty": 0.0}
    scorer = CaptionScorer(captioner.decoder, vocabulary, decode)
    split = make_split()
    captions = scorer.captions(split.features)
    assert all(captions)  # an empty one could not score
    own = [
        CaptionedPicture(p.name, (caption,), data=p.data)
        for p, caption in zip(split.pictures, captions, strict=True)
    ]
    scores = scorer.scores(Split(own, split.features), "val")
    assert {"val/bleu1_single", "val/bleu4", "val/cider"} <= scores.keys()
    assert scores["val/bleu1_single"] == pytest.approx(1.0)
    assert scorer.scores(Split([], np.zeros((0, 3))), "val") == {}


def test_drawn_scenes_are_the_default():
    config = small_config()
    config.data.drawn_train, config.data.drawn_val, config.data.drawn_test = 7, 2, 3
    dataset = captioning.load_dataset(config)
    assert [len(s) for s in (dataset.train, dataset.val, dataset.test)] == [7, 2, 3]
    config.data.train_pictures = 4
    assert captioning.load_dataset(config).train == dataset.train[:4]


def test_a_test_set_of_its_own(tmp_path):
    (tmp_path / "0.png").write_bytes(encoded(5))
    (tmp_path / "captions.csv").write_text("image,caption,split\n0.png,a grey one,test\n")
    config = small_config()
    config.data.drawn_train, config.data.drawn_val, config.data.drawn_test = 2, 1, 1
    config.data.test = str(tmp_path)
    dataset = captioning.load_dataset(config)
    assert [picture.captions for picture in dataset.test] == [("a grey one",)]
    assert len(dataset.train) == 2


def test_views_are_the_picture_its_mirror_image_and_parts():
    image = np.arange(16 * 32 * 3, dtype=np.uint16).reshape(16, 32, 3)
    np.testing.assert_array_equal(view_of(image, 0), image)
    np.testing.assert_array_equal(view_of(image, 1), image[:, ::-1])
    parts = [view_of(image, view) for view in range(2, 12)]
    assert {part.shape for part in parts} == {(14, 28, 3)}
    np.testing.assert_array_equal(parts[0], image[1:15, 2:30])
    np.testing.assert_array_equal(parts[1], image[1:15, 2:30][:, ::-1])
    corners = [image[0, 0], image[0, 4], image[2, 0], image[2, 4]]
    assert [p[0, 0].tolist() for p in parts[2::2]] == [c.tolist() for c in corners]


def test_features_of_views_are_cached_together(captioner, tmp_path):
    extractor = FeatureExtractor(captioner, str(tmp_path))
    split = extractor.split(pictures(), "train", views=3)
    assert split.views.shape == (3, 3, 3)
    for view in range(3):  # pictures of one shade look alike from everywhere
        seen = split.views[:][:, view]
        np.testing.assert_allclose(seen, split.features, atol=1e-3)
    extractor.split(pictures(), "train")
    assert len(list(tmp_path.glob("*/key.txt"))) == 2


def test_each_caption_gets_a_view_by_seed_and_epoch():
    split = make_split()
    views = np.stack([split.features, split.features + 100], axis=1)
    split = Split(split.pictures, split.features, views)
    batches = CaptionBatches(split, CaptionVocabulary.build(WORDS), small_config())

    def views(epoch):
        return [float(row[0]) >= 100 for f, _, _ in batches(epoch) for row in f]

    assert views(1) == views(1)
    drawn = [one for epoch in range(20) for one in views(epoch)]
    assert 0.3 < np.mean(drawn) < 0.7
    for features, _, _ in batches(0):
        assert set(np.array(features)[:, 0] % 100) <= set(split.features[:, 0])


def test_batches_tell_what_is_rewarded_and_how_many_words_are_the_models_own():
    config = small_config()
    config.epochs, config.scheduled_sampling = 3, 0.5
    config.self_critical.epochs = 1
    batches = make_batches(config)
    assert len(batches.signature) == 6
    rates, seeds = [], set()
    for epoch in range(4):
        for features, _, _, picture, rate, seed in batches(epoch):
            expected = features[:, 0] // 3 if epoch == 3 else -np.ones(len(features))
            np.testing.assert_array_equal(picture, expected)
            assert len(set(np.array(seed).tolist())) == 1
            rates.append(float(rate[0]))
            seeds.add(int(seed[0]))
    assert rates[::3] == [0.0, 0.25, 0.5, 0.5] and len(seeds) == 12


def test_words_start_from_glove(monkeypatch):
    from kerasdl.data.texts.glove import WordVectors

    vectors = {"red": np.array([1.0, 2.0], "float32")}
    monkeypatch.setattr(
        captioning, "read_glove", lambda words: WordVectors(vectors, 2, "a test")
    )
    vocabulary = CaptionVocabulary(["a", "red"])
    decoder = CaptionDecoder(6, 3, units=4, embedding_dim=5)
    before = decoder.embedding.get_weights()[0]
    note = captioning.start_from_glove(decoder, vocabulary)
    assert note == "1 of 2 words start from a test."
    after = decoder.embedding.get_weights()[0]
    np.testing.assert_array_equal(after[5, :2], [1.0, 2.0])
    after[5, :2] = before[5, :2]
    np.testing.assert_array_equal(after, before)
    narrow = CaptionDecoder(6, 3, units=4, embedding_dim=1)
    with pytest.raises(InputError, match=r"embedding_dim must be at least 2 .*got 1"):
        captioning.start_from_glove(narrow, vocabulary)
