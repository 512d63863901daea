"""The captioning job: splits, features, batches, scores."""

import dataclasses
import difflib
from collections.abc import Sequence

import keras
import numpy as np
from ml_collections import ConfigDict

from kerasdl.data.captions.readers import CaptionDataset, CaptionedPicture, read_captions
from kerasdl.data.captions.tokens import caption_tokens
from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.drawn.scenes import drawn_scenes
from kerasdl.data.pictures.decoding import decode_picture
from kerasdl.data.texts.glove import read_glove
from kerasdl.errors import InputError
from kerasdl.models.backbones import build_backbone
from kerasdl.models.caption_decoder import CaptionDecoder
from kerasdl.models.caption_ensemble import CaptionEnsemble
from kerasdl.models.captioner import ImageCaptioner
from kerasdl.reports.captioning import ScoredCaptions, report_captioning
from kerasdl.reports.page import Outcome, Report
from kerasdl.training.caption_batches import CaptionBatches, chosen_captions
from kerasdl.training.caption_features import FeatureExtractor
from kerasdl.training.caption_losses import make_caption_loss
from kerasdl.training.caption_scoring import CaptionScorer, pick_samples
from kerasdl.training.job import Job, Objective
from kerasdl.training.self_critical import SelfCritic, ThenConstant
from kerasdl.training.workdir import Workdir

LearningRateSchedule = keras.optimizers.schedules.LearningRateSchedule


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
    most = min(backbone.output_shape[1:3]) if model.grid else 0
    if model.grid > most:
        raise InputError(
            f"--config.model.grid must be at most {most}, the side of what the backbone "
            f"gives for {model.image_size} pixels, got {model.grid}."
        )
    channels = backbone.output_shape[-1]
    if model.components and not (model.attention and model.components <= channels):
        raise InputError(
            f"--config.model.components must be 0, or with attention at most {channels}, "
            f"the features of a place, got {model.components}."
        )
    whole = channels if model.components else 0
    feature_dim = whole + (model.components or channels) * (model.grid or 1) ** 2
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
            whole=whole,
            h_0_activation=model.h_0_activation,
            input_activation=model.input_activation,
            input_units=model.input_units,
        )
        for _ in range(model.members)
    ]
    decoder = decoders[0] if len(decoders) == 1 else CaptionEnsemble(decoders)
    return ImageCaptioner(
        backbone,
        decoder,
        grid=model.grid,
        components=model.components,
        views=config.data.views if whole or not model.grid else 1,
    )


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
        decoder.adapt(self.splits["train"].measured())
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

    def evaluate(self) -> dict[str, float]:
        """Scores of the validation split, unless the epoch is chosen without it."""
        return {} if self.monitor == "train/loss" else super().evaluate()

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
