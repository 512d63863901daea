"""The text job: data, vocabulary, model, loss, scores."""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.drawn.sentences import generated_sentences
from kerasdl.data.texts.batches import TextBatches, in_order
from kerasdl.data.texts.dataset import SPLITS, LabelledTexts, TextDataset
from kerasdl.data.texts.glove import read_glove
from kerasdl.data.texts.graph import encode_texts, tokens_of
from kerasdl.data.texts.readers import read_texts
from kerasdl.data.texts.tokens import UNKNOWN, TextVocabulary, Tokenizer, TokenRows
from kerasdl.data.vocabulary import class_names_to_bytes
from kerasdl.errors import InputError
from kerasdl.files import write_text
from kerasdl.metrics.classification import classification_scores
from kerasdl.models.text.attribution import word_effects
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.models import MODELS
from kerasdl.models.text.ngram_bag import HashedNgramBag
from kerasdl.models.text.vector_classifier import VectorClassifier
from kerasdl.ops.execution import compile_every_length
from kerasdl.ops.gradients import forget_gradients
from kerasdl.reports.classification import confident_mistakes
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.text import Shown, report_comparison, report_text
from kerasdl.training.comparison import Comparison
from kerasdl.training.config import (
    check_choice,
    check_positive,
    packaged_configs,
    read_config,
    split_list,
)
from kerasdl.training.job import Job, Objective
from kerasdl.training.progress import say
from kerasdl.training.text_pretraining import (
    SCORE_BATCH,
    STEPS_PER_CALL,
    check_pretraining,
    pretrain,
)
from kerasdl.training.text_pretraining import SIGNATURE as BATCH_SIGNATURE
from kerasdl.training.workdir import Workdir

# What a model needs besides its config to answer for new text.
MODEL_FILES = ("vocab.txt", "labels.txt", "tokenizer.json", "model.keras")
# Added to a gradient's norm, which a sentence of padding alone has none of.
LEAST_NORM = 1e-12


def load_dataset(config: ConfigDict) -> TextDataset:
    """The splits that `config.data` names, or generated sentences where it names none.

    Raises:
        InputError: A file cannot be read, or has a bad line that is not to be skipped.
    """
    data = config.data
    labels = split_list(data.labels)
    if data.root:
        return read_texts(
            data.root,
            test=data.test,
            text_column=data.text_column,
            label_column=data.label_column,
            labels=labels,
            skip_bad_lines=data.skip_bad_lines,
            tfds_folder=data.tfds_folder,
        )
    if data.test:
        raise InputError(
            "--config.data.test needs --config.data.root: generated sentences have a "
            f"test split of their own, got {data.test!r}."
        )
    return generated_sentences(
        config.seed,
        train=data.generated_train,
        val=data.generated_val,
        test=data.generated_test,
    )


def make_tokenizer(config: ConfigDict) -> Tokenizer:
    """The tokenizer of `config.data`.

    Raises:
        InputError: A field is out of its range.
    """
    try:
        return Tokenizer(config.data.tokenizer, config.data.max_tokens)
    except ValueError as error:
        raise InputError(f"--config.data.tokenizer, max_tokens: {error}") from error


def build_vocabulary(
    texts: Sequence[str], tokenizer: Tokenizer, config: ConfigDict
) -> TextVocabulary:
    """The words of the training texts."""
    return TextVocabulary.build(
        tokens_of(texts, tokenizer),
        min_count=config.data.min_count,
        max_size=config.data.max_words,
    )


@dataclasses.dataclass(frozen=True)
class EncodedSplit:
    """A split as ids.

    Attributes:
        rows: The ids of N sentences.
        labels: int32 (N,).
        texts: The sentences as written.
    """

    rows: TokenRows
    labels: np.ndarray
    texts: Sequence[str]

    @classmethod
    def encode(
        cls, split: LabelledTexts, tokenizer: Tokenizer, vocabulary: TextVocabulary
    ) -> EncodedSplit:
        """Encodes a split."""
        rows = encode_texts(split.texts, tokenizer, vocabulary)
        return cls(rows, split.labels, split.texts)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def unknown_share(self) -> float:
        """The share of the tokens that the vocabulary lacks."""
        return float((self.rows.values == UNKNOWN).mean()) if len(self) else 0.0


class TextCorpus:
    """A run's data: tokenizer, vocabulary and encoded splits.

    Args:
        config: The run's config.

    Attributes:
        label_names: Of the classes.
        tokenizer, vocabulary: From texts to ids.
        splits: `train`, `val` and `test`.
        notes: What a reader of the figures should know.

    Raises:
        InputError: As `load_dataset`.
    """

    def __init__(self, config: ConfigDict) -> None:
        dataset = load_dataset(config)
        self.label_names = dataset.label_names
        self.tokenizer = make_tokenizer(config)
        self.vocabulary = build_vocabulary(dataset.train.texts, self.tokenizer, config)
        self.splits = {
            name: EncodedSplit.encode(
                getattr(dataset, name), self.tokenizer, self.vocabulary
            )
            for name in SPLITS
        }
        held_out = [
            f"{split.unknown_share:.2%} of the {name} split's tokens"
            for name, split in self.splits.items()
            if len(split)
        ]
        self.notes = [
            *dataset.notes,
            f"The vocabulary is {len(self.vocabulary.words):,} words of the training "
            f"split, each seen {config.data.min_count} times or more; any other is the "
            f"unknown word: {', '.join(held_out)}.",
        ]

    def save(self, workdir: Workdir) -> None:
        """Writes vocab.txt, labels.txt and tokenizer.json."""
        self.vocabulary.save(workdir / "vocab.txt")
        labels = class_names_to_bytes(self.label_names).decode()
        write_text(workdir / "labels.txt", labels)
        write_text(workdir / "tokenizer.json", self.tokenizer.to_json() + "\n")


def build_classifier(
    config: ConfigDict, vocabulary: TextVocabulary, classes: int
) -> tuple[TextClassifier, str]:
    """An untrained classifier, its word vectors set where `config.model` names some.

    Fields of `config.model` that the model has no argument for are not used.

    Returns:
        The model, and a sentence on its word vectors for the report.

    Raises:
        InputError: A field is out of its range, or GloVe vectors cannot be read.
    """
    fields = config.model
    check_choice("model.name", fields.name, tuple(MODELS))
    check_choice("model.vectors", fields.vectors, ("random", "glove"))
    kind = MODELS[fields.name]
    arguments = {name: fields[name] for name in _arguments(kind) if name in fields}
    if fields.vectors == "random":
        model = _construct(kind, len(vocabulary), classes, arguments)
        return model, "Word vectors are drawn at random and trained."
    if "width" not in arguments:
        raise InputError(
            f"--config.model.vectors must be random for {fields.name}, which has no word "
            f"vectors, got {fields.vectors!r}."
        )
    vectors = read_glove(set(vocabulary.words), fields.glove_file)
    table, found = vectors.table(list(vocabulary.words), config.seed)
    arguments["width"] = vectors.width
    model = _construct(kind, len(vocabulary), classes, arguments)
    model.word_vectors.set_vectors(table)
    return model, (
        f"Word vectors start from {vectors.source} ({vectors.width} wide), which has "
        f"{int(found.sum())} of the vocabulary's {len(found)} words "
        f"({found.mean():.1%}); the others are drawn with the same mean and deviation. "
        "In training they are "
        f"{'kept' if fields.frozen else 'trained'}."
    )


def _arguments(kind: type[TextClassifier]) -> set[str]:
    """The arguments of a classifier's constructor, those of its base classes included."""
    lineage = kind.__mro__[: kind.__mro__.index(TextClassifier)]
    return {
        name
        for part in lineage
        for name, argument in inspect.signature(part.__init__).parameters.items()
        if argument.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }


def _construct(
    kind: type[TextClassifier], size: int, classes: int, arguments: dict
) -> TextClassifier:
    try:
        model = kind(size, classes, **arguments)
        model.create_weights()
    except ValueError as error:
        raise InputError(f"--config.model: {error}") from error
    return model


def training_loss(
    model: TextClassifier, config: ConfigDict
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one minibatch, averaged over its sentences.

    With `config.adversarial` above 0, the mean of it and of the loss at adversarial word
    vectors:

        g = ∂L/∂v,   r = ε g / ‖g‖,   loss = ½ (L(v) + L(v + r))

    v being a sentence's word vectors, the norm that over all of them, and r a constant.

    Raises:
        InputError: `config.adversarial` is above 0 and the model has no word vectors, or
            it is below 0.

    Reference: Miyato, Dai and Goodfellow, Adversarial Training Methods for
    Semi-Supervised Text Classification, 2017, equations 2 and 5. Different from it: the
    word vectors are not normalised, and the two losses are averaged, not added.
    """
    smoothing, epsilon = config.label_smoothing, config.adversarial
    if epsilon < 0:
        raise InputError(f"--config.adversarial must not be negative, got {epsilon}.")

    def loss(ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return model.classification_loss(model(ids, training=True), labels, smoothing)

    def adversarial_loss(ids: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        vectors, mask = model.word_vectors(ids, training=True)

        def at(vectors: tf.Tensor) -> tf.Tensor:
            logits = model.score(vectors, mask, training=True)
            return model.classification_loss(logits, labels, smoothing)

        with tf.GradientTape() as tape:
            tape.watch(vectors)
            value = at(vectors)
        gradient = tape.gradient(value, vectors)
        gradient = tf.where(mask[:, :, tf.newaxis], gradient, 0.0)
        norm = tf.sqrt(tf.reduce_sum(gradient**2, axis=[1, 2], keepdims=True))
        step = tf.stop_gradient(epsilon * gradient / (norm + LEAST_NORM))
        return 0.5 * (value + at(vectors + step))

    if epsilon and (
        not isinstance(model, VectorClassifier) or isinstance(model, HashedNgramBag)
    ):
        raise InputError(
            "--config.adversarial must be 0 for a model that is not a function of word "
            f"vectors alone, got {epsilon} for {config.model.name}."
        )
    chosen = adversarial_loss if epsilon else loss
    return compile_every_length()(chosen) if config.xla else chosen


class TextScorer:
    """Probabilities of sentences by a model as it stands at each call.

    Args:
        model: The classifier.

    Attributes:
        sentences_per_second: Of the last call of `probabilities`.
    """

    def __init__(self, model: TextClassifier) -> None:
        self.model = model
        self._probabilities = tf.function(
            lambda ids: model.probabilities(model(ids, training=False)),
            input_signature=[BATCH_SIGNATURE[0]],
        )
        forget_gradients(self._probabilities)
        self.sentences_per_second = 0.0

    def probabilities(self, rows: TokenRows) -> np.ndarray:
        """The probability of each class, float32 (N, K)."""
        started = time.monotonic()
        result = np.zeros((len(rows), self.model.classes), np.float32)
        for chosen, ids in in_order(rows, SCORE_BATCH):
            result[chosen] = self._probabilities(ids).numpy()
        elapsed = max(time.monotonic() - started, 1e-9)
        self.sentences_per_second = len(rows) / elapsed
        return result

    def scores(self, split: EncodedSplit, name: str) -> dict[str, float]:
        """`name/accuracy`, `/f1_macro`, `/loss`, `/ece`; empty where the split is."""
        if not len(split):
            return {}
        scores = classification_scores(split.labels, self.probabilities(split.rows))
        return {f"{name}/{metric}": value for metric, value in scores.items()}


class TextJob(Job):
    """A text classifier, its word vectors and LSTMs pretrained if the config says so."""

    name = "text"

    def build(self) -> Objective:
        """Reads and encodes the sentences, and builds the model."""
        config = self.config
        check_positive(config, "epochs")
        self.corpus = TextCorpus(config)
        classes = len(self.corpus.label_names)
        self.model, note = build_classifier(config, self.corpus.vocabulary, classes)
        check_pretraining(self.model, config)
        self.notes += [*self.corpus.notes, note]
        self.scorer = TextScorer(self.model)
        train = self.corpus.splits["train"]
        batches = TextBatches(train.rows, train.labels, config.batch_size, config.seed)
        loss = training_loss(self.model, config)
        return Objective(
            self.model, loss, batches, len(batches), BATCH_SIGNATURE, STEPS_PER_CALL
        )

    @property
    def monitor(self) -> str:
        """The config's, or the training loss without a validation split."""
        return self.config.monitor if len(self.corpus.splits["val"]) else "train/loss"

    def save(self, workdir: Workdir) -> None:
        """Writes vocab.txt, labels.txt and tokenizer.json."""
        self.corpus.save(workdir)

    def before_fit(self, workdir: Workdir) -> None:
        """Pretrains the model as language models."""
        pretraining = pretrain(self.model, self.corpus, self.config, workdir)
        self.seconds_before = pretraining.seconds
        if pretraining.note:
            self.notes.append(pretraining.note)
            say(pretraining.note)

    def evaluate(self) -> dict[str, float]:
        """Scores of the validation split."""
        return self.scorer.scores(self.corpus.splits["val"], "val")

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """Scores of every split.

        `bytes` is the size of model.keras, `sentences_per_second` the speed of scoring
        on this machine.
        """
        scores: dict[str, Any] = {}
        for name, split in self.corpus.splits.items():
            scores |= self.scorer.scores(split, name)
            if name == "train":
                speed = round(self.scorer.sentences_per_second)
        size = (outcome.root / "model.keras").stat().st_size
        return scores | {"bytes": size, "sentences_per_second": speed}

    def report(self, outcome: Outcome) -> Report:
        """Confusion, calibration, accuracy by length, what words do, curves."""
        corpus, count = self.corpus, self.config.report.samples
        name = next(n for n in ("test", "val", "train") if len(corpus.splits[n]))
        split = corpus.splits[name]
        probabilities = self.scorer.probabilities(split.rows)
        random = np.random.default_rng(self.config.seed)
        return report_text(
            outcome,
            name,
            corpus.label_names,
            split.labels,
            probabilities,
            split.rows.lengths,
            samples=self._show(
                split, random.permutation(len(split))[:count], probabilities
            ),
            mistakes=self._show(
                split,
                confident_mistakes(split.labels, probabilities, count),
                probabilities,
            ),
        )

    def _show(
        self, split: EncodedSplit, chosen: np.ndarray, probabilities: np.ndarray
    ) -> list[Shown]:
        """Sentences of the report with what each word does to the prediction."""
        if not len(chosen):
            return []
        corpus, ids = self.corpus, split.rows.padded(chosen)
        predictions = probabilities[chosen].argmax(axis=1)
        effects = word_effects(self.model, ids, predictions)
        lengths = split.rows.lengths[chosen]
        return [
            Shown(
                text=split.texts[index],
                tokens=[corpus.vocabulary.tokens[i] for i in ids[row, : lengths[row]]],
                effects=effects[row, : lengths[row]],
                label=corpus.label_names[split.labels[index]],
                prediction=corpus.label_names[predictions[row]],
                probability=float(probabilities[index].max()),
            )
            for row, index in enumerate(chosen)
        ]


class TextComparison(Comparison):
    """The models of `config.models` on the same data; the best one's files on top."""

    def __init__(self, config: ConfigDict) -> None:
        jobs = {
            name: TextJob(model_config(config, name)) for name in check_models(config)
        }
        super().__init__(config, jobs, "val/accuracy", MODEL_FILES)

    def report(self, outcome: Outcome) -> Report:
        """The table of the models."""
        return report_comparison(outcome)


def make_job(config: ConfigDict) -> Job:
    """One model, or several if the config names `models`."""
    return (TextComparison if "models" in config else TextJob)(config)


def check_models(config: ConfigDict) -> list[str]:
    """The names in `config.models`.

    Raises:
        InputError: One is no text config of the package, or there is none.
    """
    folder = "configs/text/"
    known = [
        Path(path).stem
        for path in packaged_configs()
        if path.startswith(folder) and Path(path).stem not in ("all", "adding")
    ]
    names = split_list(config.models)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(
            f"--config.models must be names of {', '.join(known)}, got {config.models!r}."
        )
    return list(dict.fromkeys(names))


def model_config(config: ConfigDict, name: str) -> ConfigDict:
    """The config of one model with the data, seed and epochs of `config`."""
    chosen = read_config(f"configs/text/{name}.py")
    chosen.data = config.data
    chosen.seed = config.seed
    if config.epochs:
        chosen.epochs = config.epochs
    return chosen
