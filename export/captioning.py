"""The captioning job's exports: graphs around an `ImageCaptioner`, and their checks.

A caption and its score can be compared in two ways, and both are used. The captions
must be the same; and since two captions may be as good as equally probable, the score
that an export gives must be the log-probability that the Keras model gives to the very
caption that the export chose. The second check runs through teacher forcing, not
through the decoding loop, so it also catches a loop that went wrong.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from kerasdl.export.jobs import SERVING, Comparison, Example, Job, Tolerance, evenly
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.captions.vocabulary import END, UNK
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.graph import decode_and_prepare
from kerasdl.decoding import options_for
from kerasdl.errors import InputError
from kerasdl.models.captioner import ImageCaptioner

PREPARATION = "squash"
# Pictures captioned at once by the Keras model.
BATCH = 32

# Same tensors in, same arithmetic: only the order of sums differs.
TENSORS = Tolerance(agreement=0.98, difference=1e-3)
# TensorFlow decodes and resizes to one grey level of Pillow.
BYTES = Tolerance(agreement=0.98, difference=0.1)
# Rounded weights give other captions where two are about as probable. Measured on 50
# Flickr8k pictures: float16 48 the same and scores within 0.04, dynamic 38 and 0.43,
# int8 24 and 2.5.
DEVICE = {
    "none": TENSORS,
    "float16": Tolerance(agreement=0.9, difference=0.2),
    "dynamic": Tolerance(agreement=0.6, difference=1.5),
    "int8": Tolerance(agreement=0.3, difference=5.0),
}


class CaptioningJob(Job):
    """A captioner trained by `kerasdl.trainers.captioning`; see `Job`.

    Raises:
        InputError: Where the model is missing, damaged, or no match for vocab.txt.
    """

    name = "captioning"

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        trained = kerasdl.load(workdir)
        self.model: ImageCaptioner = trained.model
        self.vocabulary = trained.vocabulary
        self.decode = options_for(self.vocabulary, config["decode"])
        if len(self.vocabulary) != self.model.decoder.vocabulary_size:
            raise InputError(
                f"{workdir / 'vocab.txt'}: expected the model's "
                f"{self.model.decoder.vocabulary_size} words, got {len(self.vocabulary)}."
            )

    def examples(self, split: str, count: int) -> list[Example]:
        """Pictures of a split of the data set that the run's config names."""
        from kerasdl.training.captioning import load_dataset

        dataset = load_dataset(ConfigDict(self.config))
        pictures = getattr(dataset, split) or dataset.train
        return [Example(p.name, p.bytes()) for p in evenly(pictures, count)]

    def readable(self, example: Example) -> Example:
        """`example`, if it is a whole picture."""
        decode_picture(example.data, example.name)
        return example

    def serving_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """Signatures on encoded pictures, on image tensors and on token ids.

        - `serving_default(image_bytes: string[N]) -> caption: string[N], score: float[N]`
        - `caption_images(images: float[N, S, S, 3]) -> caption, score, tokens: int[N, L]`
        - `score_tokens(images, tokens: int[N, T]) -> score: float[N]`: the
          log-probability of given captions.
        """
        size = self.model.image_size
        image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
        images = tf.TensorSpec((None, size, size, 3), tf.float32, name="images")
        tokens = tf.TensorSpec((None, None), tf.int32, name="tokens")
        words = tf.constant(self.vocabulary.tokens)
        module = self._module()

        def caption(images):
            ids, score = self._generate(images)
            return {"caption": join_words(ids, words), "score": score, "tokens": ids}

        @tf.function(input_signature=[image_bytes])
        def caption_bytes(image_bytes):
            images = tf.map_fn(
                lambda data: decode_and_prepare(data, size, PREPARATION),
                image_bytes,
                fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
            )
            result = caption(images)
            return {"caption": result["caption"], "score": result["score"]}

        @tf.function(input_signature=[images, tokens])
        def score_tokens(images, tokens):
            features = self.model.features(images)
            return {"score": self.model.decoder.log_probability(features, tokens)}

        module.caption_bytes = caption_bytes
        module.caption_images = tf.function(caption, input_signature=[images])
        module.score_tokens = score_tokens
        return module, {
            SERVING: module.caption_bytes,
            "caption_images": module.caption_images,
            "score_tokens": module.score_tokens,
        }

    def compare_serving(
        self, signatures: Mapping[str, Any], examples: Sequence[Example]
    ) -> dict[str, Comparison]:
        """Every signature against the Keras model, in one batch of many and one of 1."""
        images = self._images(examples)
        ids, scores, captions = self._reference(images)
        data = [example.data for example in examples]
        by_bytes = [signatures[SERVING](image_bytes=tf.constant([d])) for d in data]
        by_image = signatures["caption_images"](images=tf.constant(images))
        given = signatures["score_tokens"](
            images=tf.constant(images), tokens=tf.constant(ids)
        )
        exported_ids = by_image["tokens"].numpy()
        served = [text.decode() for text in by_image["caption"].numpy()]
        if served != [self.vocabulary.decode(row) for row in exported_ids]:
            raise InputError(
                "the SavedModel joins words differently from the vocabulary; "
                "nothing was written."
            )
        return {
            SERVING: self._compare_texts(
                [result["caption"].numpy()[0].decode() for result in by_bytes],
                np.array([result["score"].numpy()[0] for result in by_bytes]),
                captions,
                scores,
            ),
            "caption_images": self._compare_ids(
                exported_ids, by_image["score"].numpy(), images, captions, TENSORS
            ),
            "score_tokens": Comparison(
                len(images),
                len(images),
                float(np.abs(given["score"].numpy() - scores).max()),
                TENSORS,
            ),
        }

    def device_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """The signature of a device: one prepared picture in, ids and a score out.

        `serving_default(image: float[1, S, S, 3]) -> tokens: int[1, L], score: float[1]`
        """
        size = self.model.image_size
        module = self._module()

        def caption(image):
            ids, score = self._generate(image)
            return {"tokens": ids, "score": score}

        module.caption = tf.function(
            caption,
            input_signature=[tf.TensorSpec((1, size, size, 3), tf.float32, name="image")],
        )
        return module, {SERVING: module.caption}

    def device_files(self) -> dict[str, str]:
        """The vocabulary, one word a line."""
        return {"vocab.txt": "".join(f"{token}\n" for token in self.vocabulary.tokens)}

    def device_metadata(self) -> dict[str, Any]:
        """How a picture becomes the input, and how captions were decoded."""
        size = self.model.image_size
        return {
            "input": {
                "name": "image",
                "kind": "picture",
                "shape": [1, size, size, 3],
                "preparation": PREPARATION,
                "channels": "RGB",
                "range": [0, 255],
            },
            "decode": self.decode,
        }

    def device_inputs(self, examples: Sequence[Example]) -> list[dict[str, np.ndarray]]:
        """The prepared picture of each example."""
        return [{"image": image[np.newaxis]} for image in self._images(examples)]

    def compare_device(
        self,
        outputs: Sequence[Mapping[str, np.ndarray]],
        examples: Sequence[Example],
        quantize: str,
    ) -> Comparison:
        """Captions and scores against the Keras model's."""
        images = self._images(examples)
        ids = np.concatenate([output["tokens"] for output in outputs])
        scores = np.concatenate([output["score"] for output in outputs])
        _, _, captions = self._reference(images)
        return self._compare_ids(ids, scores, images, captions, DEVICE[quantize])

    def _module(self) -> tf.Module:
        # The variables alone: saving the Keras objects themselves would tie the
        # SavedModel to their classes.
        module = tf.Module()
        module.weights = [variable.value for variable in self.model.variables]
        return module

    def _generate(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = self.model.features(images)
        return self.model.decoder.generate(features, **self.decode)

    def _images(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 (N, S, S, 3) of the examples, by Pillow."""
        size = self.model.image_size
        return np.stack(
            [
                prepare_picture(decode_picture(e.data, e.name), size, PREPARATION)
                for e in examples
            ]
        ).astype("float32")

    def _reference(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Ids (N, L), scores (N,) and captions by the Keras model."""
        parts = [
            self.model.generate(images[start : start + BATCH], **self.decode)
            for start in range(0, len(images), BATCH)
        ]
        ids = np.concatenate([ids.numpy() for ids, _ in parts])
        scores = np.concatenate([score.numpy() for _, score in parts])
        return ids, scores, [self.vocabulary.decode(row) for row in ids]

    def _compare_ids(self, ids, scores, images, captions, tolerance) -> Comparison:
        """The exported scores against those that Keras gives to the exported ids."""
        expected = np.concatenate(
            [
                self.model.decoder.log_probability(
                    self.model.features(images[start : start + BATCH]),
                    ids[start : start + BATCH],
                ).numpy()
                for start in range(0, len(images), BATCH)
            ]
        )
        exported = [self.vocabulary.decode(row) for row in ids]
        return Comparison(
            len(images),
            sum(a == b for a, b in zip(exported, captions, strict=True)),
            float(np.abs(scores - expected).max()),
            tolerance,
        )

    def _compare_texts(self, exported, exported_scores, captions, scores) -> Comparison:
        """Where ids are not returned: scores of the captions that are the same."""
        same = np.array([a == b for a, b in zip(exported, captions, strict=True)])
        difference = np.abs(exported_scores - scores)[same]
        return Comparison(
            len(captions), int(same.sum()), float(difference.max(initial=0.0)), BYTES
        )


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
