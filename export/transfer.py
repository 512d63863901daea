"""Exports of the transfer job: graphs around a trained picture classifier, and checks.

Beside the comparison with the Keras model, the accuracy of each export on the whole
validation split is measured, and one that loses more of it than `ACCURACY_LOSS` is
refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.pictures.class_folders import PictureDataset
from kerasdl.errors import InputError
from kerasdl.export.bias_correction import correct_biases
from kerasdl.export.comparison import Tolerance
from kerasdl.export.jobs import Example, add_asset, add_labels, evenly, strings
from kerasdl.export.picture_jobs import BATCH, PictureJob
from kerasdl.export.subject import Export, Request
from kerasdl.export.text import names_in_graph

# Training pictures on which rounded convolutions are corrected, all in memory at once.
CORRECTION_PICTURES = 40

# Accuracy that an export may lose on the validation split. Dynamic quantisation takes the
# range of activations from each picture alone, and loses more than calibrated int8.
ACCURACY_LOSS = {"none": 0.01, "float16": 0.01, "dynamic": 0.03, "int8": 0.01}
ACCURACY_LOSS["weights"] = 0.005


class TransferJob(PictureJob):
    """A classifier trained by `kerasdl.trainers.transfer`; see `PictureJob`.

    - `serving_default(image_bytes: string[N]) -> label: string[N],
      probabilities: float[N, K]`, the classes in the order of labels.txt
    - `classify_images(images: float[N, S, S, 3]) -> label, probabilities`
    - on a device `serving_default(image: float[1, S, S, 3]) -> probabilities`

    Raises:
        InputError: The model is missing, damaged, or no match for labels.txt.
    """

    name = "transfer"
    images_signature = "classify_images"
    # Same tensors in, same arithmetic: only the order of sums differs.
    tensors = Tolerance(0.98, 1e-3, "classes")
    # TensorFlow decodes to one grey level of Pillow, and resizes to the bit.
    encoded = Tolerance(0.98, 0.1, "classes")
    # Of a probability. One that quantisation moves far is near one half, or was.
    on_device: ClassVar = {
        "none": tensors,
        "float16": Tolerance(0.98, 0.05, "classes"),
        "dynamic": Tolerance(0.95, 0.5, "classes"),
        "weights": Tolerance(0.95, 0.3, "classes"),
        "int8": Tolerance(0.95, 0.7, "classes"),
    }

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        trained = kerasdl.load(workdir)
        self.model, self.labels = trained.model, trained.labels
        self.preparation = trained.preparation
        self.decision = self.model.decision
        if len(self.labels) != self.model.output_shape[-1]:
            raise InputError(
                f"{workdir / 'labels.txt'}: expected the model's "
                f"{self.model.output_shape[-1]} classes, got {len(self.labels)}."
            )
        self._dataset = None

    @property
    def size(self) -> int:
        """The side of the model's input."""
        return self.model.input_shape[1]

    def _splits(self) -> PictureDataset:
        if self._dataset is None:
            from kerasdl.training.transfer import load_dataset

            self._dataset = load_dataset(ConfigDict(self.config))
        return self._dataset

    def examples(self, split: str, count: int) -> list[Example]:
        """Pictures of a split of the data set that the run's config names."""
        pictures = getattr(self._splits(), split) or self._splits().train
        return [Example(p.name, p.bytes()) for p in evenly(pictures, count)]

    def graph(self, images: tf.Tensor, model: Any) -> dict[str, tf.Tensor]:
        """The probabilities of the classes."""
        return {"probabilities": model.probabilities(images)}

    def named(self, numbers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The same, and the name of the most probable class."""
        probabilities = numbers["probabilities"]
        label = names_in_graph(self.labels, self.decision, probabilities)
        return {"label": label, **numbers}

    def expected(self, answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `PictureJob`."""
        names = self.decision.names(self.labels, answers["probabilities"])
        return {"label": strings([name.encode() for name in names]), **answers}

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """See `Decision.chosen`."""
        return self.decision.chosen(probabilities)

    def device_model(self, request: Request) -> Any:
        """The model, its convolutions readied for weights of 8 bits if there are such."""
        if request.quantize not in ("dynamic", "weights", "int8"):
            return self.model
        pictures = self.given("train", CORRECTION_PICTURES)
        images = np.concatenate([self.image(picture) for picture in pictures])
        return correct_biases(self.model, images)[0]

    def device(self, request: Request) -> Export:
        """See `PictureJob`; with the names of the classes and the accuracy."""
        export = super().device(request)
        export.files["labels.txt"] = "".join(f"{label}\n" for label in self.labels)
        export.files.update(self.decision.files())

        def accuracy(run):
            allowed = ACCURACY_LOSS[request.quantize]
            return self.accuracy(lambda e: run(image=self.image(e)), allowed)

        export.accuracy = accuracy
        return export

    def served(self, request: Request) -> Export:
        """See `PictureJob`; with the accuracy."""
        export = super().served(request)
        add_labels(export.module, self.labels)
        for name, text in self.decision.files().items():
            add_asset(export.module, name, text)
        allowed = ACCURACY_LOSS["none"]
        export.accuracy = lambda run: self.accuracy(
            lambda e: run(image_bytes=tf.constant([e.data])), allowed
        )
        return export

    def labelled(self) -> Iterator[tuple[int, int, Example]]:
        """The readable pictures of the validation split."""
        pictures = self._splits().val
        for start in range(0, len(pictures), BATCH):
            labels, examples, images = [], [], []
            for picture in pictures[start : start + BATCH]:
                try:
                    example = Example(picture.name, picture.bytes())
                    images.append(self.image(example))
                except InputError:
                    continue  # the trainer has named it
                labels.append(picture.label)
                examples.append(example)
            if images:
                answers = self.answers(np.concatenate(images))["probabilities"]
                chosen = self.decide(answers)
                yield from zip(np.array(labels), chosen, examples, strict=True)

    def accuracy(self, answer, allowed):
        """See `Job`: one picture more may differ than the share that is allowed."""
        return super().accuracy(answer, max(allowed, 1 / max(len(self._splits().val), 1)))
