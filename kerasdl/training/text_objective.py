"""The model of a text run and its loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import tensorflow as tf
from ml_collections import ConfigDict

from kerasdl.data.texts.glove import read_glove
from kerasdl.data.texts.tokens import TextVocabulary
from kerasdl.errors import InputError
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.models import MODELS
from kerasdl.models.text.ngram_bag import HashedNgramBag
from kerasdl.models.text.quantised_vectors import ENTRIES
from kerasdl.models.text.vector_classifier import VectorClassifier
from kerasdl.ops.execution import compile_every_length
from kerasdl.training.config import check_choice

# Models to which n-grams of characters may be given as further words.
UNORDERED = ("average", "bag_of_words")
# Added to a gradient's norm, which a sentence of padding alone has none of.
LEAST_NORM = 1e-12


def build_classifier(
    config: ConfigDict, vocabulary: TextVocabulary, classes: int
) -> tuple[TextClassifier, str]:
    """An untrained classifier, its word vectors set if `config.model` names some.

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
    if config.data.subword_buckets and fields.name not in UNORDERED:
        raise InputError(
            f"--config.data.subword_buckets must be 0 but for {' and '.join(UNORDERED)}, "
            f"whose words have no order, got {config.data.subword_buckets} for "
            f"{fields.name}."
        )
    size = len(vocabulary) + config.data.subword_buckets
    arguments = {name: fields[name] for name in _arguments(kind) if name in fields}
    arguments["multi_label"] = config.data.multi_label
    if fields.vectors == "random":
        model = _construct(kind, size, classes, arguments)
        return model, "Word vectors are drawn at random and trained."
    if "width" not in arguments:
        raise InputError(
            f"--config.model.vectors must be random for {fields.name}, which has no word "
            f"vectors, got {fields.vectors!r}."
        )
    vectors = read_glove(set(vocabulary.words), fields.glove_file)
    table, found = vectors.table(list(vocabulary.words), config.seed)
    arguments["width"] = vectors.width
    model = _construct(kind, size, classes, arguments)
    model.word_vectors.set_vectors(table)
    return model, (
        f"Word vectors start from {vectors.source} ({vectors.width} wide), which has "
        f"{int(found.sum())} of the vocabulary's {len(found)} words "
        f"({found.mean():.1%}); the others are drawn with the same mean and deviation. "
        "In training they are "
        f"{'kept' if fields.frozen else 'trained'}."
    )


def fitting_parts(
    model: TextClassifier, vocabulary: TextVocabulary, megabytes: float
) -> int:
    """How many bytes of each word vector fit: the most, a divisor of its length.

    0 if the model fits as it is, or may have any size. Counted are the weights and the
    file of the vocabulary, which an export carries too.

    Raises:
        InputError: Not even one byte a vector fits, or the model has no word vectors.
    """
    if not megabytes:
        return 0
    limit, words = 1e6 * megabytes, len(vocabulary.to_bytes())
    if 4 * model.count_params() + words <= limit:
        return 0
    if not isinstance(model, VectorClassifier):
        raise InputError(
            "--config.max_megabytes must be 0, or large enough, for a model without word "
            f"vectors, got {megabytes}."
        )
    size, width = model.word_vectors.table.shape
    others = 4 * (model.count_params() - size * width) + words + 4 * ENTRIES * width
    fitting = [
        m for m in range(1, width + 1) if not width % m and others + m * size <= limit
    ]
    if not fitting:
        raise InputError(
            f"--config.max_megabytes must be at least {(others + size) / 1e6:.3f} for a "
            f"vocabulary of {size} and vectors of {width}, got {megabytes}."
        )
    return fitting[-1]


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
