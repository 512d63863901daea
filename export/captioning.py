"""Exports of the captioning job: graphs around a trained `ImageCaptioner`, and checks."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.captions.vocabulary import END, START, UNK, CaptionVocabulary
from kerasdl.decoding import options_for
from kerasdl.errors import InputError
from kerasdl.export.comparison import Tolerance
from kerasdl.export.jobs import Example, Job, evenly, strings
from kerasdl.export.picture_jobs import PictureJob
from kerasdl.export.proof import Case
from kerasdl.export.subject import Export, Request

# Words of a caption of a captioner in memory; a run's config says its own.
LONGEST = 30
# The largest difference of a logit or a state between one step and the whole caption.
STEP = Tolerance(1.0, 1e-4)


class CaptioningJob(PictureJob):
    """A captioner trained by `kerasdl.trainers.captioning`; see `PictureJob`.

    - `serving_default(image_bytes: string[N]) -> caption: string[N], score: float[N]`
    - `caption_images(images: float[N, S, S, 3]) -> caption, score, tokens: int[N, L]`
    - `score_tokens(images, tokens: int[N, T]) -> score: float[N]`: the log-probability
      of given captions
    - on a device `serving_default(image: float[1, S, S, 3]) -> tokens: int[1, L],
      score: float[1]`, and with the signature `step`, for showing words as they come,
      `encode(image) -> states...` and `step(token: int[1], states...) -> logits, states`,
      the states by `CaptionDecoder.state_names`

    Raises:
        InputError: The model is missing, damaged, or no match for vocab.txt.
    """

    name = "captioning"
    signatures = ("infer", "step")
    images_signature = "caption_images"
    outputs = ("caption", "score")
    # Same tensors in, same arithmetic: only the order of sums differs.
    tensors = Tolerance(0.98, 1e-3, "captions")
    # TensorFlow decodes and resizes to one grey level of Pillow.
    encoded = Tolerance(0.98, 0.1, "captions")
    # Rounded weights give other captions where two are about as probable.
    on_device: ClassVar = {
        "none": tensors,
        "float16": Tolerance(0.9, 0.2, "captions"),
        "dynamic": Tolerance(0.9, 1.5, "captions"),
        "weights": Tolerance(0.9, 1.5, "captions"),
        "int8": Tolerance(0.9, 1.5, "captions"),
    }

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        trained = kerasdl.load(workdir)
        self._hold(trained.model, trained.vocabulary, config["decode"])

    @classmethod
    def of(cls, model: Any, vocabulary: CaptionVocabulary) -> "CaptioningJob":
        """A captioner in memory, which drawn scenes are compared on.

        Args:
            model: A `kerasdl.models.ImageCaptioner`; it is to decode greedily.
            vocabulary: Its words.
        """
        job = cls.__new__(cls)
        Job.__init__(job, Path("a captioner"), {})
        job._hold(model, vocabulary, {"max_length": LONGEST, "beam_size": 1})
        return job

    def _hold(
        self, model: Any, vocabulary: CaptionVocabulary, decode: Mapping[str, Any]
    ) -> None:
        workdir = self.workdir
        self.model, self.vocabulary = model, vocabulary
        self.decode = options_for(vocabulary, decode)
        if len(self.vocabulary) != self.model.decoder.vocabulary_size:
            raise InputError(
                f"{workdir / 'vocab.txt'}: expected the model's "
                f"{self.model.decoder.vocabulary_size} words, got {len(self.vocabulary)}."
            )

    @property
    def size(self) -> int:
        """The side of the backbone's input."""
        return self.model.image_size

    def examples(self, split: str, count: int) -> list[Example]:
        """Pictures of a split of the data set that the run's config names."""
        if not self.config:
            from kerasdl.data.drawn.scenes import drawn_scenes

            pictures = drawn_scenes(0, train=min(count, 50), val=0, test=0).train
            return [Example(p.name, p.bytes()) for p in pictures]
        from kerasdl.training.captioning import load_dataset

        dataset = load_dataset(ConfigDict(self.config))
        pictures = getattr(dataset, split) or dataset.train
        return [Example(p.name, p.bytes()) for p in evenly(pictures, count)]

    def check(self, request: Request) -> None:
        """See `Job`; a captioner in memory comes with its vocabulary."""
        if not self.config:
            request = dataclasses.replace(request, vocabulary=None)
        super().check(request)

    def source(self) -> dict[str, Any]:
        """See `Job`; empty for a captioner in memory."""
        return super().source() if self.config else {}

    def graph(self, images: tf.Tensor, model: Any) -> dict[str, tf.Tensor]:
        """Ids and the log-probability of each caption."""
        features = model.features(images)
        tokens, score = model.decoder.generate(features, **self.decode)
        return {"tokens": tokens, "score": score}

    def answers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the model's own `generate` gives, which is compiled."""
        parts = [
            self.model.generate(images[start : start + 32], **self.decode)
            for start in range(0, len(images), 32)
        ]
        tokens, score = zip(*parts, strict=True)
        return {"tokens": np.concatenate(tokens), "score": np.concatenate(score)}

    def named(self, numbers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The same, and the captions as text."""
        words = tf.constant(self.vocabulary.tokens)
        return {"caption": join_words(numbers["tokens"], words), **numbers}

    def expected(self, answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `PictureJob`."""
        captions = [self.vocabulary.decode(row).encode() for row in answers["tokens"]]
        return {"caption": strings(captions), **answers}

    def served(self, request: Request) -> Export:
        """See `PictureJob`; and `score_tokens`."""
        export = super().served(request)
        size = self.size

        @tf.function(
            input_signature=[
                tf.TensorSpec((None, size, size, 3), tf.float32, name="images"),
                tf.TensorSpec((None, None), tf.int32, name="tokens"),
            ]
        )
        def score_tokens(images, tokens):
            features = self.model.features(images)
            return {"score": self.model.decoder.log_probability(features, tokens)}

        export.module.score_tokens = score_tokens
        export.signatures["score_tokens"] = score_tokens
        export.tolerances["score_tokens"] = Tolerance(1.0, 1e-3)
        whole = export.cases[-1]
        given = {**whole.inputs, "tokens": whole.expected["tokens"]}
        expected = {"score": whole.expected["score"]}
        export.cases.append(Case("score_tokens", given, expected))
        return export

    def device(self, request: Request) -> Export:
        """See `PictureJob`; with the vocabulary, and `encode` and `step` if asked for."""
        if request.strategy == "unrolled":
            raise InputError(
                "`strategy`: captions end at any length; 'loop' decodes them, and the "
                "signature 'step' gives one word at a time, got 'unrolled'."
            )
        if request.quantize == "int8":
            # Measured: with the decoder in int8 no caption stays the same, and the
            # converter dies of calibrating a loop with attention or a beam.
            raise InputError(
                "--quantize=int8: captions do not survive a decoder in int8; dynamic, "
                "weights and float16 keep them."
            )
        export = super().device(request)
        export.dynamic_products_only = True
        export.strategy = "loop"
        export.files["vocab.txt"] = "".join(f"{t}\n" for t in self.vocabulary.tokens)
        export.metadata["decode"] = self.decode
        if "step" in request.signatures:
            self._add_steps(export, request)
        return export

    def _add_steps(self, export: Export, request: Request) -> None:
        decoder = self.model.decoder
        batch = request.batch or 1

        first = decoder.initial_state(tf.zeros((batch, decoder.feature_dim)))
        names = decoder.state_names

        def encode(image):
            features = self.model.features(image)
            return dict(zip(names, decoder.initial_state(features), strict=True))

        def step(token, **states):
            logits, after = decoder.step(token, [states[name] for name in names])
            return {"logits": logits, **dict(zip(names, after, strict=True))}

        shape = (batch, self.size, self.size, 3)
        image = tf.TensorSpec(shape, tf.float32, name="image")
        token = tf.TensorSpec((batch,), tf.int32, name="token")
        specs = {
            name: tf.TensorSpec(state.shape, state.dtype, name=name)
            for name, state in zip(names, first, strict=True)
        }
        export.signatures["encode"] = tf.function(encode).get_concrete_function(image)
        export.signatures["step"] = tf.function(step).get_concrete_function(
            token, **specs
        )
        tolerance = Tolerance(
            1.0, max(STEP.difference, 0.03 * (request.quantize != "none"))
        )
        export.tolerances |= {"encode": tolerance, "step": tolerance}
        for case in export.cases[:2]:
            image = case.inputs["image"]
            tokens = case.expected["tokens"]
            start = np.full((batch, 1), START, np.int32)
            given = np.concatenate([start, tokens[:, :-1]], axis=1)
            features = self.model.features(image)
            logits = decoder((features, given), training=False).numpy()
            states = dict(zip(names, decoder.initial_state(features), strict=True))
            expected = {name: state.numpy() for name, state in states.items()}
            export.cases.append(Case("encode", {"image": image}, expected))
            export.cases += [
                Case("step", {"token": given[:, t]}, {"logits": logits[:, t]}, (*names,))
                for t in range(given.shape[1])
            ]


def join_words(ids: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """`CaptionVocabulary.decode` in TensorFlow operations.

    Args:
        ids: int32 (N, L).
        words: string (V,).

    Returns:
        string (N,): the words up to `<END>`, special tokens left out.
    """
    ended = tf.cumsum(tf.cast(tf.equal(ids, END), tf.int32), axis=1) > 0
    kept = tf.ragged.boolean_mask(tf.gather(words, ids), ~ended & (ids > UNK))
    return tf.strings.reduce_join(kept, axis=1, separator=" ")
