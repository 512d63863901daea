"""`kerasdl.load`: a trained run as an object that answers for new inputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasdl.errors import InputError


def load(workdir: str | Path) -> Any:
    """Loads the best model of a run.

    Args:
        workdir: The folder that a trainer wrote.

    Returns:
        For captioning, an object with `.caption(path)`; for transfer, `.classify(path)`;
        for style, `.stylize(path)`.

    Raises:
        InputError: Where the folder holds no finished run of a known job.
    """
    from kerasdl.training.workdir import read_run

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
    return _LOADERS[run["job"]](root, run["config"])


class TrainedCaptioner:
    """A trained captioner with its vocabulary and decoding settings.

    Args:
        root: The run's folder.
        config: The run's resolved config.

    Attributes:
        model: The `kerasdl.models.captioner.ImageCaptioner`.
        vocabulary: The `CaptionVocabulary` of its word ids.
    """

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        import keras

        import kerasdl.models.captioner  # registers the classes that model.keras names
        from kerasdl.data.captions.vocabulary import CaptionVocabulary

        del kerasdl
        self.model = keras.saving.load_model(root / "model.keras", compile=False)
        self.vocabulary = CaptionVocabulary.load(root / "vocab.txt")
        self._decode = config["decode"]

    def caption(self, path: str | Path) -> str:
        """The caption of the picture at `path`.

        Raises:
            InputError: Where the file is no picture that can be read.
        """
        from kerasdl.data.pictures.decoding import read_picture

        return self.caption_image(read_picture(path))

    def caption_image(self, image: Any) -> str:
        """The caption of a picture, uint8 (H, W, 3), RGB."""
        import numpy as np

        from kerasdl.data.pictures.decoding import prepare_picture

        size = self.model.image_size
        prepared = prepare_picture(image, size, "squash")
        ids, _ = self.model.generate(
            prepared[np.newaxis].astype(np.float32), **self._decode
        )
        return self.vocabulary.decode(np.asarray(ids)[0])


class TrainedTextClassifier:
    """A trained text classifier with its tokenizer, vocabulary and labels.

    Args:
        root: The run's folder; of a run of several models, the best one's.
        config: The run's resolved config.

    Attributes:
        model: A `kerasdl.models.text.classifier.TextClassifier`.
        tokenizer, vocabulary: From a text to ids.
        labels: The name of each class.
    """

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        import keras

        import kerasdl.models.text.models  # registers the classes model.keras names
        from kerasdl.data.texts.graph import TextEncoder
        from kerasdl.data.texts.tokens import TextVocabulary, Tokenizer
        from kerasdl.data.vocabulary import read_class_names
        from kerasdl.training.text import TextScorer

        del kerasdl, config
        self.model = keras.saving.load_model(root / "model.keras", compile=False)
        self.vocabulary = TextVocabulary.load(root / "vocab.txt")
        self.labels = read_class_names(root / "labels.txt")
        self.tokenizer = Tokenizer.load(root / "tokenizer.json")
        # Graphs, built once for all texts to come.
        self._encode = TextEncoder(self.tokenizer, self.vocabulary)
        self._scorer = TextScorer(self.model)

    def predict(self, text: str) -> str:
        """The label of a text.

        Raises:
            InputError: Where the text is empty or breaks another rule of text lines.
        """
        return self.predict_many([text])[0]

    def predict_many(self, texts: Sequence[str]) -> list[str]:
        """The label of each text; see `predict`."""
        if not texts:
            return []
        return [self.labels[i] for i in self.probabilities(texts).argmax(axis=1)]

    def probabilities(self, texts: Sequence[str]) -> Any:
        """The probability of each class, float32 (N, K), in the order of `labels`."""
        from kerasdl.data.texts.lines import check_text

        for text in texts:
            rule = check_text(text)
            if rule is not None:
                raise InputError(f"the text to classify: {rule}")
        return self._scorer.probabilities(self._encode(texts))


class TrainedClassifier:
    """A trained picture classifier with the names of its classes.

    Args:
        root: The run's folder.
        config: The run's resolved config.

    Attributes:
        model: From RGB (N, S, S, 3) in 0..255 to logits (N, K).
        labels: The names of the K classes.
        preparation: How a picture becomes S x S.
    """

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        import keras

        from kerasdl.data.vocabulary import read_class_names

        self.model = keras.saving.load_model(root / "model.keras", compile=False)
        self.labels = read_class_names(root / "labels.txt")
        self.preparation = config["data"]["preparation"]

    def classify(self, path: str | Path) -> str:
        """The class of the picture at `path`.

        Raises:
            InputError: Where the file is no picture that can be read.
        """
        return self.labels[self.probabilities([path])[0].argmax()]

    def probabilities(self, paths: Sequence[str | Path]) -> Any:
        """The probability of each class, float32 (N, K), in the order of `labels`.

        Raises:
            InputError: Where a file is no picture that can be read.
        """
        import numpy as np

        from kerasdl.data.pictures.decoding import prepare_picture, read_picture

        size = self.model.input_shape[1]
        rows = [
            self.image_probabilities(
                prepare_picture(read_picture(path), size, self.preparation)[np.newaxis]
            )
            for path in paths
        ]
        return np.concatenate(rows) if rows else np.zeros((0, len(self.labels)), "f4")

    def image_probabilities(self, images: Any) -> Any:
        """As `probabilities`, for prepared pictures: uint8 or float32 (N, S, S, 3)."""
        import tensorflow as tf

        logits = self.model(tf.cast(images, tf.float32), training=False)
        return tf.nn.softmax(logits).numpy()


def _load_style(root: Path, config: dict[str, Any]) -> Any:
    """A run of the style job: it optimised a picture, or trained a network."""
    if config["method"] == "picture":
        from kerasdl.training.style import StyledByRun

        return StyledByRun(config)
    from kerasdl.training.style_network import TrainedStyleNetwork

    return TrainedStyleNetwork(root)


_LOADERS = {
    "captioning": TrainedCaptioner,
    "style": _load_style,
    "text": TrainedTextClassifier,
    "transfer": TrainedClassifier,
}
