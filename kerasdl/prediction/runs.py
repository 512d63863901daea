"""Trained runs, read from the folders that the trainers wrote."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.data.captions.vocabulary import NULL, CaptionVocabulary
from kerasdl.data.pictures.decoding import prepare_picture
from kerasdl.data.vocabulary import read_class_names
from kerasdl.decoding import options_for
from kerasdl.errors import InputError
from kerasdl.models.captioner import ImageCaptioner
from kerasdl.prediction.predictor import Answer, Picture, Predictor, class_answers
from kerasdl.runs import check_digests, read_run
from kerasdl.weights.keras_file import check_keras_file

# Importing them registers the classes that a model.keras may name.
_REGISTERING = (
    "kerasdl.models.captioner",
    "kerasdl.models.classifier",
    "kerasdl.models.style_network",
    "kerasdl.models.text.models",
)
# How many pictures one call of a model takes.
BATCH = 32


def load_run(workdir: str | Path) -> Predictor:
    """Loads the best model of a run.

    Args:
        workdir: The folder that a trainer wrote.

    Raises:
        InputError: The folder holds no finished run of a known job, or a file of it is
            not the one that the run wrote.
    """
    root = Path(workdir)
    run = read_run(root)
    if run["job"] not in _LOADERS:
        raise InputError(
            f"{root / 'config.json'}: job must be one of {', '.join(_LOADERS)}, "
            f"got {run['job']!r}."
        )
    # A run that optimised one picture leaves that picture, and no model.
    no_model = run["config"].get("method") == "picture"
    written = "metrics.json" if no_model else "model.keras"
    if not (root / written).is_file():
        raise InputError(
            f"{str(root)!r} holds no {written}: the run has not finished; start the "
            "same command again."
        )
    check_digests(root)
    return _LOADERS[run["job"]](root, run["config"])


def load_model(path: Path) -> keras.Model:
    """The Keras model in a file, read with Keras's safe mode on.

    Raises:
        InputError: The file is damaged, holds no such model, or weights that are not
            finite.
    """
    for module in _REGISTERING:
        importlib.import_module(module)
    check_keras_file(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive raises any of a dozen kinds
        first_line = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a Keras model that loads: {first_line}") from error
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable)
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise InputError(f"{path}: {variable.path} has values that are not finite.")
    return model


class TrainedCaptioner(Predictor):
    """A trained captioner with its vocabulary and decoding settings.

    Args:
        root: The run's folder.
        config: The run's resolved config.

    Attributes:
        model: The `ImageCaptioner`.
        vocabulary: The words of its ids.
    """

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        self.model: ImageCaptioner = load_model(root / "model.keras")
        self.vocabulary = CaptionVocabulary.load(root / "vocab.txt")
        self._decode = dict(config["decode"])

    def answer(
        self,
        inputs: Sequence[Picture],
        *,
        attention: bool = False,
        n_best: int = 1,
        **options: Any,
    ) -> list[Answer]:
        """`caption` and `score` of each picture.

        Args:
            inputs: The pictures.
            attention: Whether `words` and `attention` come too: for each word that was
                said, and for the end if it was, how much each place of the picture
                weighed, float32 (words, rows, columns), each summing to 1.
            n_best: If above 1, `captions` and `scores` come too: the best captions of
                the beam, the best first, or the samples.
            options: Fields of the config's `decode` to use instead of the run's, such as
                `beam_size=5`, `samples=3, seed=1` or `required="dog ball"`.

        Raises:
            InputError: An option has no such field, or a required word is unknown.
            ValueError: An option is out of its range, or the model has no attention.
        """
        settings = options_for(self.vocabulary, {**self._decode, **options})
        answers = []
        for images in _batches(inputs, self.model.image_size, "squash"):
            found = self.model.generate(images, attention=attention, **settings)
            ids, scores, *weights = map(np.asarray, found)
            part: list[Answer] = [
                {"caption": self.vocabulary.decode(row), "score": float(score)}
                for row, score in zip(ids, scores, strict=True)
            ]
            if attention:
                for answer, row, maps in zip(part, ids, weights[0], strict=True):
                    said = row[row > NULL]
                    answer["words"] = [self.vocabulary.tokens[one] for one in said]
                    side = round(maps.shape[-1] ** 0.5)
                    answer["attention"] = maps[: len(said)].reshape(-1, side, side)
            if n_best > 1:
                several = self.model.candidates(images, n=n_best, **settings)
                for answer, rows, totals in zip(
                    part, *map(np.asarray, several), strict=True
                ):
                    answer["captions"] = [self.vocabulary.decode(row) for row in rows]
                    answer["scores"] = totals.tolist()
            answers += part
        return answers

    def features(self, inputs: Sequence[Picture]) -> np.ndarray:
        """What the decoder sees of each picture, float32 (N, F)."""
        size = self.model.image_size
        parts = [self.model.features(b) for b in _batches(inputs, size, "squash")]
        return np.concatenate(parts)


class TrainedClassifier(Predictor):
    """A trained picture classifier with the names of its classes.

    Args:
        root: The run's folder.
        config: The run's resolved config.

    Attributes:
        model: From RGB (N, S, S, 3) in 0..255 to logits (N, K).
        labels: The names of the K classes.
        preparation: How a picture becomes S x S.
    """

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        self.model = load_model(root / "model.keras")
        self.labels = read_class_names(root / "labels.txt")
        self.preparation = config["data"]["preparation"]

    def answer(self, inputs: Sequence[Picture]) -> list[Answer]:
        """`label` and `probabilities` of each picture."""
        answers = []
        for images in _batches(inputs, self.model.input_shape[1], self.preparation):
            probabilities = self.image_probabilities(images)
            answers += class_answers(self.labels, probabilities, self.model.decision)
        return answers

    def features(self, inputs: Sequence[Picture]) -> np.ndarray:
        """What the head sees of each picture, float32 (N, F)."""
        from kerasdl.models.classifier import BACKBONE

        backbone, size = self.model.get_layer(BACKBONE), self.model.input_shape[1]
        parts = _batches(inputs, size, self.preparation)
        return np.concatenate([backbone(images, training=False) for images in parts])

    def image_probabilities(self, images: Any) -> np.ndarray:
        """The probability of each class, float32 (N, K), in the order of `labels`.

        Args:
            images: Prepared pictures, uint8 or float32 (N, S, S, 3).
        """
        return self.model.probabilities(tf.cast(images, tf.float32)).numpy()


class TrainedTextClassifier(Predictor):
    """A trained text classifier with its tokenizer, vocabulary and labels.

    Args:
        root: The run's folder; of a run of several models, the best one's.
        config: The run's resolved config.

    Attributes:
        model: A `kerasdl.models.TextClassifier`.
        tokenizer, vocabulary: From a text to ids.
        labels: The name of each class.
    """

    input_kind = "text"

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        from kerasdl.data.texts.graph import TextEncoder
        from kerasdl.data.texts.tokens import TextVocabulary, Tokenizer
        from kerasdl.training.text_corpus import TextScorer

        del config
        self.model = load_model(root / "model.keras")
        self.vocabulary = TextVocabulary.load(root / "vocab.txt")
        self.labels = read_class_names(root / "labels.txt")
        self.tokenizer = Tokenizer.load(root / "tokenizer.json")
        # Graphs, built once for all texts to come.
        self._encode = TextEncoder(self.tokenizer, self.vocabulary)
        self._scorer = TextScorer(self.model)

    def answer(self, inputs: Sequence[str]) -> list[Answer]:
        """`label` and `probabilities` of each sentence."""
        if not inputs:
            return []
        probabilities = self.probabilities(inputs)
        return class_answers(self.labels, probabilities, self.model.decision)

    def features(self, inputs: Sequence[str]) -> np.ndarray:
        """The vector of each sentence that the head scores, float32 (N, E).

        Raises:
            InputError: The model has no such vector.
        """
        from kerasdl.models.text.vector_classifier import VectorClassifier

        encode = getattr(type(self.model), "encode", None)
        if encode in (None, VectorClassifier.encode):
            raise InputError(f"{self.model.name} makes no vector of a sentence.")
        vectors, mask = self.model.word_vectors(self._encode(inputs).padded())
        return self.model.encode(vectors, mask, False).numpy()

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each class, float32 (N, K), in the order of `labels`."""
        return self._scorer.probabilities(self._encode(texts))


class StyledByRun(Predictor):
    """A run that optimised a picture; it does the same for other pictures.

    Args:
        root: The run's folder.
        config: The run's resolved config.
    """

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        from ml_collections import ConfigDict

        del root
        self._config = ConfigDict(dict(config))

    def answer(self, inputs: Sequence[Picture]) -> list[Answer]:
        """`image`, each picture in the run's style."""
        from kerasdl.style.transfer import stylize
        from kerasdl.training.style import mask_pictures, style_options, style_pictures

        styles, options = style_pictures(self._config), style_options(self._config)
        masks = mask_pictures(self._config)
        return [
            {"image": stylize(_srgb(picture), styles, masks=masks, options=options).image}
            for picture in inputs
        ]


class TrainedPainter(Predictor):
    """A run that trained a network, for one style or several in equal shares.

    Args:
        root: The run's folder.
        config: The run's resolved config.

    Attributes:
        model: The `kerasdl.models.StylePainter`.
    """

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        del config
        self.model = load_model(root / "model.keras")

    def answer(self, inputs: Sequence[Picture]) -> list[Answer]:
        """`image`, each picture in the run's style, at its own size."""
        from kerasdl.training.style_network import repaint

        return [{"image": repaint(self.model, _srgb(picture))} for picture in inputs]


def _batches(pictures: Sequence[Picture], size: int, preparation: str):
    for start in range(0, len(pictures), BATCH):
        prepared = [
            prepare_picture(picture.pixels(), size, preparation)
            for picture in pictures[start : start + BATCH]
        ]
        yield np.stack(prepared).astype(np.float32)


def _srgb(picture: Picture) -> np.ndarray:
    """The pixels of a picture, uint8 (H, W, 3), its colour profile applied."""
    from kerasdl.style.pictures import decode_srgb

    if picture.data is None:
        return picture.pixels()
    return decode_srgb(picture.data, picture.name)


def _load_style(root: Path, config: Mapping[str, Any]) -> Predictor:
    return (TrainedPainter if config["method"] == "network" else StyledByRun)(
        root, config
    )


_LOADERS: dict[str, Callable[[Path, Mapping[str, Any]], Predictor]] = {
    "captioning": TrainedCaptioner,
    "style": _load_style,
    "text": TrainedTextClassifier,
    "transfer": TrainedClassifier,
}
