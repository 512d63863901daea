"""The captioning job: splits, features, batches, scores."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.broken import BrokenInputs
from kerasdl.data.captions.readers import CaptionDataset, CaptionedPicture, read_captions
from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import UNK, CaptionVocabulary
from kerasdl.data.drawn.scenes import drawn_scenes
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.texts.glove import read_glove
from kerasdl.decoding import options_for
from kerasdl.errors import InputError
from kerasdl.metrics import bleu1_single, caption_diversity, coco_scores
from kerasdl.models.backbones import build_backbone, weights_digest
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.models.captioner import ImageCaptioner
from kerasdl.reports.captioning import (
    CaptionSample,
    ScoredCaptions,
    report_captioning,
)
from kerasdl.reports.page import Outcome, Report
from kerasdl.training.caption_batches import CaptionBatches, chosen_captions
from kerasdl.training.caption_losses import make_caption_loss
from kerasdl.training.features import PictureFeatures
from kerasdl.training.job import Job, Objective
from kerasdl.training.progress import say, track
from kerasdl.training.self_critical import SelfCritic, ThenConstant
from kerasdl.training.workdir import Workdir

LearningRateSchedule = keras.optimizers.schedules.LearningRateSchedule

# Pictures decoded at once when captions are scored.
DECODE_BATCH = 100


def load_dataset(config: ConfigDict) -> CaptionDataset:
    """The data set that `config.data` names, with `data.test` as its test split if given.

    Raises:
        InputError: Where a file is missing or malformed, or the training split is empty.
    """
    data = config.data
    if data.root:
        dataset = read_captions(data.root, skip_bad_lines=data.skip_bad_lines)
    else:
        dataset = drawn_scenes(
            config.seed,
            train=data.drawn_train,
            val=data.drawn_val,
            test=data.drawn_test,
        )
    if data.test:
        given = read_captions(data.test, skip_bad_lines=data.skip_bad_lines)
        # A table without splits was divided, but all of it is to be scored.
        pictures = given.test or [*given.train, *given.val]
        dataset = dataclasses.replace(dataset, test=pictures)
    if not dataset.train:
        raise InputError(f"--config.data.root has no training picture: {data.root!r}.")
    if data.train_pictures:
        dataset = dataclasses.replace(dataset, train=dataset.train[: data.train_pictures])
    return dataset


@dataclasses.dataclass(frozen=True)
class Split:
    """Pictures that could be read, with their features.

    Attributes:
        pictures: N pictures with their captions.
        features: float32 (N, F).
        more_views: float32 (N, F) each, features of other views of the pictures.
    """

    pictures: Sequence[CaptionedPicture]
    features: np.ndarray
    more_views: Sequence[np.ndarray] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def references(self) -> list[list[str]]:
        """Each picture's captions, in file order."""
        return [list(picture.captions) for picture in self.pictures]

    def first(self, count: int) -> "Split":
        """The first `count` pictures."""
        return Split(self.pictures[:count], self.features[:count])


class FeatureExtractor:
    """Splits of pictures with their features by a captioner's backbone.

    Args:
        captioner: Its `features` maps float32 (1, S, S, 3) in 0..255 to (1, F).
        cache: The folder of features of pictures seen before; "" for the usual one.

    Attributes:
        broken: The pictures that could not be read.
    """

    def __init__(self, captioner: ImageCaptioner, cache: str = "") -> None:
        self._size = captioner.image_size
        key = (
            f"{captioner.backbone.name} {self._size} squash grid={captioner.grid} "
            f"{weights_digest(captioner.backbone)}"
        )
        self._features = PictureFeatures(
            captioner.features, key, captioner.decoder.feature_dim, cache
        )
        self.broken = BrokenInputs()

    def split(
        self, pictures: Sequence[CaptionedPicture], what: str, views: int = 1
    ) -> Split:
        """`pictures` with their features, less those that are broken.

        Args:
            pictures: The pictures of a split.
            what: The split, for messages.
            views: How many views of each; see `view_of`.

        Raises:
            InputError: More of them are broken than a run tolerates.
        """

        def read(picture: CaptionedPicture) -> list[np.ndarray]:
            return [
                self._features.of(
                    picture,
                    f"view={view}" if view else "",
                    lambda data, name, view=view: prepare_picture(
                        view_of(decode_picture(data, name), view), self._size, "squash"
                    ),
                )
                for view in range(views)
            ]

        kept, rows = self.broken.readable(pictures, read, f"{what} pictures", say, track)
        if not rows:
            return Split(kept, np.zeros((0, 0), np.float32))
        first, *more = (np.stack(column) for column in zip(*rows, strict=True))
        return Split(kept, first, more)


def view_of(image: np.ndarray, view: int) -> np.ndarray:
    """One of several views of a picture, (H, W, 3) to (h, w, 3).

    0 is the whole picture, 1 its mirror image; then come seven eighths of each side, cut
    from the middle and from each corner in turn, every second one mirrored.
    """
    if view >= 2:
        height, width = image.shape[:2]
        down, right = ((4, 4), (0, 0), (0, 8), (8, 0), (8, 8))[(view - 2) // 2 % 5]
        top, left = height * down // 64, width * right // 64
        image = image[top : top + -(-height * 7 // 8), left : left + -(-width * 7 // 8)]
    return image[:, ::-1] if view % 2 else image


def build_vocabulary(
    pictures: Sequence[CaptionedPicture], config: ConfigDict
) -> CaptionVocabulary:
    """The words of the captions that are trained on."""
    captions = (c for picture in pictures for c in chosen_captions(picture, config))
    words = (word for caption in captions for word in caption_tokens(caption))
    return CaptionVocabulary.build(words, min_count=config.data.min_count)


def build_captioner(config: ConfigDict, vocabulary_size: int) -> ImageCaptioner:
    """An untrained captioner on a pretrained backbone.

    Raises:
        InputError: Where the backbone, its weights or its layer cannot be had.
    """
    model = config.model
    backbone = build_backbone(
        model.backbone,
        size=model.image_size,
        output="grid" if model.grid else "pooled",
        weights=config.weights or "default",
    )
    if model.layer:
        backbone = _up_to(backbone, model.layer)
    most = min(backbone.output_shape[1:3])
    if model.grid > most:
        raise InputError(
            f"--config.model.grid must be at most {most}, the side of what the backbone "
            f"gives for {model.image_size} pixels, got {model.grid}."
        )
    feature_dim = backbone.output_shape[-1] * (model.grid or 1) ** 2
    decoders = [
        CaptionDecoder(
            vocabulary_size,
            feature_dim,
            rnn=model.rnn,
            embedding_dim=model.embedding_dim,
            units=model.units,
            layers=model.layers,
            features_in=model.features_in,
            dropout=model.dropout,
            feature_dropout=model.feature_dropout,
            feature_scale=model.feature_scale,
            tied=model.tied,
            cells=model.grid**2 if model.attention else 0,
            attention=model.attention_score,
            components=model.components,
        )
        for _ in range(model.members)
    ]
    decoder = decoders[0] if len(decoders) == 1 else CaptionEnsemble(decoders)
    return ImageCaptioner(backbone, decoder, grid=model.grid)


def start_from_glove(
    decoder: CaptionDecoder | CaptionEnsemble, vocabulary: CaptionVocabulary
) -> str:
    """Sets the first components of the words' vectors to GloVe's, if it has them.

    Returns:
        A note for the report.

    Raises:
        InputError: GloVe cannot be had, or its vectors are longer than the model's.
    """
    words = list(vocabulary.words)
    vectors = read_glove(set(words))
    rows, found = vectors.table(words, seed=0)
    for member in getattr(decoder, "members", [decoder]):
        if member.embedding_dim < vectors.width:
            raise InputError(
                f"--config.model.embedding_dim must be at least {vectors.width} with "
                f"model.glove, got {member.embedding_dim}."
            )
        (table,) = member.embedding.get_weights()
        first = len(table) - len(words)  # the special tokens have no vectors
        table[first:, : vectors.width][found] = rows[found]
        member.embedding.set_weights([table])
    return f"{found.sum()} of {len(words)} words start from {vectors.source}."


def _up_to(backbone: keras.Model, layer: str) -> keras.Model:
    """The backbone with the output of one of its layers instead of its last."""
    names = [one.name for one in backbone.layers]
    if layer not in names:
        near = difflib.get_close_matches(layer, names) or names[-3:]
        raise InputError(
            f"--config.model.layer must be a layer of {backbone.name}, such as "
            f"{', '.join(near)}, got {layer!r}."
        )
    output = backbone.get_layer(layer).output
    return keras.Model(backbone.input, output, name=f"{backbone.name}_{layer}")


class CaptionScorer:
    """Captions pictures from their features and scores the captions.

    Args:
        decoder: The model to score, as it stands at each call.
        vocabulary: Turns its ids into words.
        decode: A config's `decode`: how captions are chosen.
    """

    def __init__(
        self,
        decoder: CaptionDecoder | CaptionEnsemble,
        vocabulary: CaptionVocabulary,
        decode: Mapping,
    ) -> None:
        options = options_for(vocabulary, decode)
        self._generate = tf.function(
            lambda features: decoder.generate(features, **options)[0],
            input_signature=[tf.TensorSpec((None, decoder.feature_dim), tf.float32)],
        )
        self._vocabulary = vocabulary
        self._decoder, self._options = decoder, options

    def attention(self, features: np.ndarray) -> list[tuple[list[str], np.ndarray]]:
        """The words of each picture, and the weights (words, side, side) at each."""
        ids, _, weights = self._decoder.generate(
            features, **self._options, attention=True
        )
        side = round(self._decoder.cells**0.5)
        return [
            (
                [self._vocabulary.tokens[one] for one in row[row > UNK]],
                maps[row > UNK].reshape(-1, side, side),
            )
            for row, maps in zip(ids.numpy(), weights.numpy(), strict=True)
        ]

    def captions(self, features: np.ndarray) -> list[str]:
        """A caption for each row of `features`."""
        captions = []
        for start in range(0, len(features), DECODE_BATCH):
            ids = self._generate(features[start : start + DECODE_BATCH]).numpy()
            captions += [self._vocabulary.decode(row) for row in ids]
        return captions

    def scores(self, split: Split, name: str) -> dict[str, float]:
        """`name/bleu1_single`, the COCO metrics and diversity, empty if the split is."""
        if not len(split):
            return {}
        hypotheses = self.captions(split.features)
        scores = {"bleu1_single": bleu1_single(hypotheses, split.references)}
        scores |= coco_scores(hypotheses, split.references)
        said = caption_diversity(hypotheses)
        scores |= {name: said[name] for name in ("distinct_captions", "vocabulary_used")}
        return {f"{name}/{metric}": value for metric, value in scores.items()}


class CaptioningJob(Job):
    """A captioner on features of a fixed backbone; the decoder alone is trained."""

    name = "captioning"

    def build(self) -> Objective:
        """Reads captions and pictures, and computes the features."""
        config = self.config
        dataset = load_dataset(config)
        self.vocabulary = build_vocabulary(dataset.train, config)
        self.model = build_captioner(config, len(self.vocabulary))
        extractor = FeatureExtractor(self.model, config.data.cache)
        views = {"train": config.data.views, "val": 1, "test": 1}
        self.splits = {
            name: extractor.split(getattr(dataset, name), name, count)
            for name, count in views.items()
        }
        self.notes += [*dataset.notes, *extractor.broken.notes]
        decoder = self.model.decoder
        decoder.adapt(self.splits["train"].features)
        self.scorer = CaptionScorer(decoder, self.vocabulary, config.decode.to_dict())
        if config.model.glove:
            self.notes.append(start_from_glove(decoder, self.vocabulary))
        batches = CaptionBatches(self.splits["train"], self.vocabulary, config)
        if config.decode.neighbours:
            batches.teach(decoder)
        critic = None
        if config.self_critical.epochs:
            critic = SelfCritic(
                self.vocabulary, self.splits["train"].references, config.decode.max_length
            )
        loss = make_caption_loss(
            decoder,
            label_smoothing=config.label_smoothing,
            scheduled_sampling=config.scheduled_sampling > 0,
            critic=critic,
        )
        return Objective(
            *(decoder, loss, batches, len(batches), batches.signature),
            inputs=lambda batch: batch[:2],
        )

    @property
    def epochs(self) -> int:
        """Those of the cross-entropy, then those of the self-critical training."""
        return self.config.epochs + self.config.self_critical.epochs

    def schedule(self, steps_per_epoch: int) -> LearningRateSchedule:
        """The learning rate, constant in self-critical training."""
        schedule = super().schedule(steps_per_epoch)
        if not self.config.self_critical.epochs:
            return schedule
        steps = self.config.epochs * steps_per_epoch
        return ThenConstant(schedule, steps, self.config.self_critical.learning_rate)

    def save(self, workdir: Workdir) -> None:
        """Writes vocab.txt."""
        self.vocabulary.save(workdir / "vocab.txt")

    def score(self, outcome: Outcome) -> dict[str, float]:
        """Scores of every split, of some pictures of the training split."""
        some = self.splits["train"].first(self.config.report.train_pictures)
        self.splits = {**self.splits, "train": some}
        return super().score(outcome)

    def report(self, outcome: Outcome) -> Report:
        """Sample captions, scores and curves."""
        samples = pick_samples(self.splits, self.scorer, self.config.report.samples)
        counts = {name: len(split) for name, split in self.splits.items()}
        held_out = next(name for name in ("test", "val", "train") if counts[name])
        return report_captioning(
            outcome, samples, self._looked_at(held_out), counts, self.monitor
        )

    def _looked_at(self, name: str) -> ScoredCaptions:
        """The captions of a split, and where the model looked in some of its pictures."""
        split = self.splits[name]

        def image_of(index: int) -> np.ndarray:
            picture = split.pictures[index]
            return decode_picture(picture.bytes(), picture.where)

        attended = []
        if self.model.decoder.cells:
            some = split.first(self.config.report.attended)
            maps = self.scorer.attention(some.features) if some.pictures else []
            attended = [(image_of(n), *of_one) for n, of_one in enumerate(maps)]
        return ScoredCaptions(
            split=name,
            names=[picture.name for picture in split.pictures],
            captions=self.scorer.captions(split.features),
            references=split.references,
            image_of=image_of,
            attended=attended,
        )


make_job = CaptioningJob


def pick_samples(
    splits: Mapping[str, Split], scorer: CaptionScorer, count: int
) -> list[CaptionSample]:
    """Up to `count` pictures with their captions.

    Held-out pictures come first and fill two thirds of the grid: they matter most.
    """
    samples = []
    names = [name for name in ("test", "val", "train") if len(splits[name])]
    for name in names:
        left = count - len(samples)
        split = splits[name].first(left if name == names[-1] else -(-left * 2 // 3))
        captions = scorer.captions(split.features)
        for picture, caption in zip(split.pictures, captions, strict=True):
            image = decode_picture(picture.bytes(), picture.name)
            title = f"{name}: {picture.name}"
            samples.append(CaptionSample(image, title, caption, picture.captions[0]))
    return samples
