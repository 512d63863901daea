"""The transfer job's exports: graphs around a trained picture classifier, their checks.

Beside the comparison with the Keras model, the accuracy of each export on the whole
validation split is measured, and one that loses more of it than `ACCURACY_LOSS` is
refused: int8 may lose a point.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from kerasdl.export.bias_correction import correct_biases
from kerasdl.export.jobs import (
    SERVING,
    Accuracy,
    Comparison,
    Example,
    Job,
    Tolerance,
    evenly,
)
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.pictures.class_folders import PictureDataset
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.graph import decode_and_prepare
from kerasdl.errors import InputError

# Pictures classified at once by the Keras model.
BATCH = 32
# Training pictures on which rounded convolutions are corrected, all in memory at once.
CORRECTION_PICTURES = 40

# Same tensors in, same arithmetic: only the order of sums differs.
TENSORS = Tolerance(agreement=0.98, difference=1e-3)
# TensorFlow decodes to one grey level of Pillow, and resizes to the bit.
BYTES = Tolerance(agreement=0.98, difference=0.1)
# Of a probability. One that quantisation moves far is near one half, or was.
DEVICE = {
    "none": TENSORS,
    "float16": Tolerance(agreement=0.98, difference=0.05),
    "dynamic": Tolerance(agreement=0.95, difference=0.5),
    "int8": Tolerance(agreement=0.95, difference=0.7),
}
# Accuracy that an export may lose on the validation split. Dynamic quantisation takes the
# range of activations from each picture alone, and loses more than calibrated int8.
ACCURACY_LOSS = {"none": 0.01, "float16": 0.01, "dynamic": 0.03, "int8": 0.01}
# Of a difference of two shares, which may be that very loss.
ROUNDING = 1e-9


class TransferJob(Job):
    """A classifier trained by `kerasdl.trainers.transfer`; see `Job`.

    Raises:
        InputError: Where the model is missing, damaged, or no match for labels.txt.
    """

    name = "transfer"

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        self.trained = kerasdl.load(workdir)
        self.model = self.trained.model
        self.labels = self.trained.labels
        self.size = self.model.input_shape[1]
        if len(self.labels) != self.model.output_shape[-1]:
            raise InputError(
                f"{workdir / 'labels.txt'}: expected the model's "
                f"{self.model.output_shape[-1]} classes, got {len(self.labels)}."
            )
        self._dataset = None
        self._device_model = self.model

    def prepare(self, quantize: str) -> None:
        """Readies the convolutions for weights of 8 bits, where there will be such."""
        if quantize not in ("dynamic", "int8"):
            return
        self._device_model = kerasdl.load(self.workdir).model
        pictures = self.examples("train", CORRECTION_PICTURES)
        correct_biases(self._device_model, self._images(pictures))

    def _splits(self) -> PictureDataset:
        if self._dataset is None:
            from kerasdl.training.transfer import load_dataset

            self._dataset = load_dataset(ConfigDict(self.config))
        return self._dataset

    def examples(self, split: str, count: int) -> list[Example]:
        """Pictures of a split of the data set that the run's config names."""
        pictures = getattr(self._splits(), split) or self._splits().train
        return [Example(p.name, p.bytes()) for p in evenly(pictures, count)]

    def readable(self, example: Example) -> Example:
        """`example`, if it is a whole picture."""
        decode_picture(example.data, example.name)
        return example

    def serving_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """Signatures on encoded pictures and on image tensors.

        - `serving_default(image_bytes: string[N]) -> label: string[N],
          probabilities: float[N, K]`, the classes in the order of labels.txt
        - `classify_images(images: float[N, S, S, 3]) -> label, probabilities`
        """
        size, preparation = self.size, self.trained.preparation
        labels = tf.constant(self.labels)
        module = self._module(self.model)

        def classify(images):
            probabilities = self._probabilities(images, self.model)
            best = tf.argmax(probabilities, axis=1)
            return {"label": tf.gather(labels, best), "probabilities": probabilities}

        @tf.function(
            input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")]
        )
        def classify_bytes(image_bytes):
            images = tf.map_fn(
                lambda data: decode_and_prepare(data, size, preparation),
                image_bytes,
                fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
            )
            return classify(images)

        images = tf.TensorSpec((None, size, size, 3), tf.float32, name="images")
        module.classify_bytes = classify_bytes
        module.classify_images = tf.function(classify, input_signature=[images])
        return module, {
            SERVING: module.classify_bytes,
            "classify_images": module.classify_images,
        }

    def compare_serving(
        self, signatures: Mapping[str, Any], examples: Sequence[Example]
    ) -> dict[str, Comparison]:
        """Both signatures against the Keras model, one by one and all at once."""
        images = self._images(examples)
        expected = self._reference(images)
        one_by_one = [
            signatures[SERVING](image_bytes=tf.constant([e.data])) for e in examples
        ]
        at_once = signatures["classify_images"](images=tf.constant(images))
        return {
            SERVING: self._compare(
                np.concatenate([r["probabilities"].numpy() for r in one_by_one]),
                [r["label"].numpy()[0].decode() for r in one_by_one],
                expected,
                BYTES,
            ),
            "classify_images": self._compare(
                at_once["probabilities"].numpy(),
                [label.decode() for label in at_once["label"].numpy()],
                expected,
                TENSORS,
            ),
        }

    def device_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """`serving_default(image: float[1, S, S, 3]) -> probabilities: float[1, K]`."""
        model = self._device_model
        module = self._module(model)
        module.classify = tf.function(
            lambda image: {"probabilities": self._probabilities(image, model)},
            input_signature=[
                tf.TensorSpec((1, self.size, self.size, 3), tf.float32, name="image")
            ],
        )
        return module, {SERVING: module.classify}

    def device_files(self) -> dict[str, str]:
        """The names of the classes, one a line."""
        return {"labels.txt": "".join(f"{label}\n" for label in self.labels)}

    def device_metadata(self) -> dict[str, Any]:
        """How a picture becomes the input."""
        return {
            "input": {
                "name": "image",
                "kind": "picture",
                "shape": [1, self.size, self.size, 3],
                "preparation": self.trained.preparation,
                "channels": "RGB",
                "range": [0, 255],
            }
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
        """Classes and probabilities against the Keras model's."""
        probabilities = np.concatenate([output["probabilities"] for output in outputs])
        return self._compare(
            probabilities,
            [self.labels[i] for i in probabilities.argmax(axis=1)],
            self._reference(self._images(examples)),
            DEVICE[quantize],
        )

    def measure_accuracy(
        self, answer: Callable[[Example], Mapping[str, np.ndarray]]
    ) -> Accuracy | None:
        """Of the readable pictures of the validation split, where there are any."""
        truth, exported, trained = [], [], []
        for picture in self._splits().val:
            try:
                example = Example(picture.name, picture.bytes())
                image = self._images([example])
            except InputError:
                continue  # the trainer has named it
            truth.append(picture.label)
            trained.append(self._reference(image)[0].argmax())
            exported.append(np.asarray(answer(example)["probabilities"])[0].argmax())
        if not truth:
            return None
        return Accuracy(
            len(truth),
            export=float(np.equal(exported, truth).mean()),
            model=float(np.equal(trained, truth).mean()),
        )

    def accuracy_loss(self, quantize: str, examples: int) -> float:
        """`ACCURACY_LOSS`, or one picture where that is more."""
        return max(ACCURACY_LOSS[quantize], 1 / examples) + ROUNDING

    def _module(self, model: keras.Model) -> tf.Module:
        # The variables alone: saving the Keras objects themselves would tie the
        # SavedModel to their classes.
        module = tf.Module()
        module.weights = [variable.value for variable in model.variables]
        return module

    def _probabilities(self, images: tf.Tensor, model: keras.Model) -> tf.Tensor:
        return tf.nn.softmax(model(images, training=False))

    def _image(self, example: Example) -> np.ndarray:
        image = decode_picture(example.data, example.name)
        return prepare_picture(image, self.size, self.trained.preparation).astype(
            np.float32
        )

    def _images(self, examples: Sequence[Example]) -> np.ndarray:
        return np.stack([self._image(example) for example in examples])

    def _reference(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [
                self.trained.image_probabilities(images[start : start + BATCH])
                for start in range(0, len(images), BATCH)
            ]
        )

    def _compare(
        self,
        probabilities: np.ndarray,
        labels: Sequence[str],
        expected: np.ndarray,
        tolerance: Tolerance,
    ) -> Comparison:
        answers = [self.labels[i] for i in expected.argmax(axis=1)]
        return Comparison(
            len(expected),
            sum(a == b for a, b in zip(labels, answers, strict=True)),
            float(np.abs(probabilities - expected).max()),
            tolerance,
        )
