"""Jobs whose inputs are pictures: what their exports have in common."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kerasdl.export.comparison import Tolerance
from kerasdl.export.encoded import (
    EACH,
    add_encoded_signatures,
    encoded_cases,
    of_any_batch,
)
from kerasdl.export.jobs import CALIBRATION, Example, Job, module_of
from kerasdl.export.proof import Case
from kerasdl.export.subject import SERVING, Export, Request

# Pictures that the Keras model answers at once.
BATCH = 32


class PictureJob(Job):
    """A job whose inputs are pictures; what differs is below `answers`.

    Attributes:
        preparation: How a picture becomes S x S; see `prepare_picture`.
        images_signature: The name of the SavedModel's signature on image tensors.
        outputs: What encoded pictures are answered with; all that `named` gives if empty.
        tensors, encoded: What the SavedModel's signatures may differ by.
        on_device: What a `.tflite` file may differ by, by quantisation.
    """

    preparation: str = "squash"
    images_signature: ClassVar[str]
    outputs: ClassVar[Sequence[str]] = ()
    tensors: ClassVar[Tolerance]
    encoded: ClassVar[Tolerance]
    on_device: ClassVar[Mapping[str, Tolerance]]

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The side S of the input in pixels."""

    @abc.abstractmethod
    def graph(self, images: Any, model: Any, *further: Any) -> dict[str, Any]:
        """Numbers for float32 (N, S, S, 3), RGB in 0..255, in TensorFlow's graph.

        Args:
            images: The pictures.
            model: Answers.
            *further: Inputs besides the pictures, those of `further`.
        """

    def further(self, count: int) -> dict[str, np.ndarray]:
        """Examples of what the model takes besides pictures, (count, ...) by name."""
        del count
        return {}

    def named(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """What a SavedModel answers, from the numbers that `graph` gives."""
        return numbers

    @abc.abstractmethod
    def expected(self, answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same as `named` of the Keras model's answers, in NumPy."""

    def answers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the Keras model answers for images (N, S, S, 3)."""
        parts = [
            self.graph(images[start : start + BATCH], self.model)
            for start in range(0, len(images), BATCH)
        ]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def device_model(self, request: Request) -> Any:
        """The model that a `.tflite` file is made of."""
        del request
        return self.model

    def readable(self, example: Example) -> Example:
        """`example`, if it is a whole picture."""
        from kerasdl.data.pictures.decoding import decode_picture

        decode_picture(example.data, example.name)
        return example

    def image(self, example: Example) -> np.ndarray:
        """float32 (1, S, S, 3) of an example, by Pillow."""
        from kerasdl.data.pictures.decoding import decode_picture, prepare_picture

        image = decode_picture(example.data, example.name)
        prepared = prepare_picture(image, self.size, self.preparation)
        return prepared[np.newaxis].astype(np.float32)

    def served(self, request: Request) -> Export:
        """Signatures on encoded pictures and on image tensors; see the module's job."""
        import tensorflow as tf

        from kerasdl.data.pictures.graph import decode_and_prepare

        self.check(request)
        size = self.size

        answer = of_any_batch(lambda images: self.named(self.graph(images, self.model)))
        module = module_of(self.model)
        add_encoded_signatures(
            module,
            lambda data: decode_and_prepare(data, size, self.preparation),
            tf.zeros((size, size, 3)),
            answer,
            self.outputs,
        )
        images = tf.TensorSpec((None, size, size, 3), tf.float32, name="images")
        module.on_images = tf.function(answer, input_signature=[images])
        examples = self.given("val", request.examples, request.inputs)
        pixels = np.concatenate([self.image(example) for example in examples])
        rows = self.expected(self.answers(pixels))
        encoded = {n: v for n, v in rows.items() if n in (self.outputs or rows)}
        cases = encoded_cases([example.data for example in examples], encoded)
        cases.append(Case(self.images_signature, {"images": pixels}, rows))
        return Export(
            module,
            {
                SERVING: module.on_bytes,
                EACH: module.on_each,
                self.images_signature: module.on_images,
            },
            cases,
            {
                SERVING: self.encoded,
                EACH: self.encoded,
                self.images_signature: self.tensors,
            },
        )

    def device(self, request: Request) -> Export:
        """`serving_default(image: float[B, S, S, 3]) -> the numbers of `graph``."""
        import tensorflow as tf

        self.check(request)
        if request.stretch:
            self.preparation = "squash"
        size = self.size
        model = self.device_model(request)
        module = module_of(model)
        shape = (request.batch or 1, size, size, 3)
        examples = self.given("val", request.examples, request.inputs)
        images = np.concatenate([self.image(example) for example in examples])
        inputs = {"image": images, **self.further(len(images))}
        module.on_image = tf.function(
            lambda image, *further: self.graph(image, model, *further),
            input_signature=[
                tf.TensorSpec((shape[0], *value.shape[1:]), tf.float32, name=name)
                for name, value in inputs.items()
            ],
        )
        expected = self.answers(*inputs.values())
        export = Export(
            module,
            {SERVING: module.on_image},
            [
                Case(
                    SERVING,
                    {n: v[start : start + shape[0]] for n, v in inputs.items()},
                    {n: v[start : start + shape[0]] for n, v in expected.items()},
                )
                for start in range(0, len(images) - shape[0] + 1, shape[0])
            ],
            {SERVING: self.on_device[request.quantize]},
            metadata={
                "input": {
                    "name": "image",
                    "kind": "picture",
                    "shape": list(shape),
                    "preparation": self.preparation,
                    "channels": "RGB",
                    "range": [0, 255],
                }
            },
        )
        if request.quantize == "int8":
            calibrating = self.given("train", CALIBRATION, request.inputs)
            further = self.further(len(calibrating))
            export.calibration = (
                {
                    name: np.repeat(value, shape[0], axis=0)
                    for name, value in {
                        "image": self.image(example),
                        **{name: v[k : k + 1] for name, v in further.items()},
                    }.items()
                }
                for k, example in enumerate(calibrating)
            )
        return export
