"""The sentences of a text run: read, encoded, scored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.drawn.sentences import generated_sentences
from kerasdl.data.texts.batches import in_order
from kerasdl.data.texts.dataset import SPLITS, LabelledTexts, TextDataset
from kerasdl.data.texts.graph import encode_texts, split_in_graph, tokens_of
from kerasdl.data.texts.readers import read_texts
from kerasdl.data.texts.tokens import UNKNOWN, TextVocabulary, Tokenizer, TokenRows
from kerasdl.data.vocabulary import class_names_to_bytes
from kerasdl.errors import InputError
from kerasdl.files import write_text
from kerasdl.metrics.classification import classification_scores, multi_label_scores
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.tensorflow_private import forget_gradients
from kerasdl.training.config import split_list
from kerasdl.training.workdir import Workdir

# Sentences scored at a time.
SCORE_BATCH = 512
IDS_SIGNATURE = tf.TensorSpec((None, None), tf.int32)
# Ids and labels of a minibatch.
BATCH_SIGNATURE = (IDS_SIGNATURE, tf.TensorSpec((None,), tf.int32))
MULTI_LABEL_SIGNATURE = (IDS_SIGNATURE, tf.TensorSpec((None, None), tf.int32))


def load_dataset(config: ConfigDict) -> TextDataset:
    """The splits that `config.data` names, or generated sentences if it names none.

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
            multi_label=data.multi_label,
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
        multi_label=data.multi_label,
    )


def make_tokenizer(config: ConfigDict) -> Tokenizer:
    """The tokenizer of `config.data`.

    Raises:
        InputError: A field is out of its range.
    """
    data = config.data
    numbers = (data.min_subword, data.max_subword, data.subword_buckets)
    try:
        return Tokenizer(data.tokenizer, data.max_tokens, *numbers)
    except ValueError as error:
        raise InputError(f"--config.data: {error}") from error


def build_vocabulary(
    texts: Sequence[str], tokenizer: Tokenizer, config: ConfigDict
) -> TextVocabulary:
    """The words of the training texts."""
    return TextVocabulary.build(
        tokens_of(texts, tokenizer),
        min_count=config.data.min_count,
        max_size=config.data.max_words,
    )


def few_of_each(labels: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Which sentences to train on: `shots` of each class, drawn by the seed, in order.

    Args:
        labels: int (N,).
        shots: How many of each class.
        seed: Of the draw.

    Raises:
        InputError: A class has fewer, or sentences have several labels.
    """
    if labels.ndim == 2:
        raise InputError(
            f"--config.data.shots must be 0 for several labels each, got {shots}."
        )
    random, chosen = np.random.default_rng([seed, 4]), []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) < shots:
            raise InputError(
                "--config.data.shots must be at most the sentences that each class has, "
                f"got {shots} for one of {len(own)}."
            )
        chosen.append(random.choice(own, shots, replace=False))
    return np.sort(np.concatenate(chosen))


@dataclasses.dataclass(frozen=True)
class EncodedSplit:
    """A split as ids.

    Attributes:
        rows: The ids of N sentences.
        labels: int32 (N,); of several labels each 0 or 1, (N, K).
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
        unknown = np.count_nonzero(self.rows.values == UNKNOWN)
        return unknown / max(1, int(self.rows.tokens.sum()))


class TextCorpus:
    """A run's data: tokenizer, vocabulary and encoded splits.

    Args:
        config: The run's config.

    Attributes:
        label_names: Of the classes.
        tokenizer, vocabulary: From texts to ids.
        splits: `train`, `val` and `test`.
        unlabelled: All training sentences, to be learnt from without labels.
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
        self.unlabelled = self.splits["train"]
        if config.data.shots:
            train = self.unlabelled
            chosen = few_of_each(train.labels, config.data.shots, config.seed)
            rows = train.rows.take(chosen)
            texts = [train.texts[i] for i in chosen]
            self.splits["train"] = EncodedSplit(rows, train.labels[chosen], texts)
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


def tokens_of_each(texts: Sequence[str], corpus: TextCorpus) -> list[list[str]]:
    """The tokens of each text, those that the vocabulary lacks as `<UNK>`."""
    found = split_in_graph(tf.constant(texts), corpus.tokenizer).to_list()
    words = [[token.decode("utf-8") for token in row] for row in found]
    tokens = corpus.vocabulary.tokens
    return [[tokens[i] for i in corpus.vocabulary.encode(row)] for row in words]


class TextScorer:
    """Probabilities of sentences by a model as it stands at each call.

    Args:
        model: The classifier.

    Attributes:
        sentences_per_second: Of the last call.
    """

    def __init__(self, model: TextClassifier) -> None:
        self.model = model
        self._logits = tf.function(
            lambda ids: model(ids, training=False), input_signature=[IDS_SIGNATURE]
        )
        forget_gradients(self._logits)
        self.sentences_per_second = 0.0

    def probabilities(self, rows: TokenRows) -> np.ndarray:
        """The probability of each class, float32 (N, K)."""
        return self.model.probabilities(tf.constant(self.logits(rows))).numpy()

    def logits(self, rows: TokenRows) -> np.ndarray:
        """What the model answers, float32 (N, outputs), without a temperature."""
        started = time.monotonic()
        result = np.zeros((len(rows), self.model.outputs_per_sentence), np.float32)
        for chosen, ids in in_order(rows, SCORE_BATCH):
            result[chosen] = self._logits(ids).numpy()
        elapsed = max(time.monotonic() - started, 1e-9)
        self.sentences_per_second = len(rows) / elapsed
        return result

    def scores(self, split: EncodedSplit, name: str) -> dict[str, float]:
        """`name/accuracy`, `/f1_macro`, `/loss`, `/ece`; empty if the split is.

        Of several labels each, an example is right if all are, and `name/f1_micro` comes
        too.
        """
        if not len(split):
            return {}
        labels, probabilities = split.labels, self.probabilities(split.rows)
        chosen = self.model.decision.chosen(probabilities)
        if self.model.multi_label:
            scores = multi_label_scores(labels, probabilities, chosen)
        else:
            scores = classification_scores(labels, probabilities, chosen)
        return {f"{name}/{metric}": value for metric, value in scores.items()}
