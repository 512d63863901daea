"""The style job's exports: graphs around a trained feed-forward network, their checks.

Two pictures are the same answer where they differ by a grey level on average at most;
`difference` is that mean over the picture, of the worst picture.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from kerasdl.export.jobs import SERVING, Comparison, Example, Job, Tolerance, evenly
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.pictures.decoding import decode_picture, prepare_picture
from kerasdl.data.pictures.graph import decode
from kerasdl.errors import InputError
from kerasdl.models.style_network import STRIDE, apply_to_any_size
from kerasdl.style.pictures import encode_picture, fit_shorter_side

PREPARATION = "squash"
# Side of a TFLite file's input where `--size` does not say.
DEVICE_SIZE = 256
# A larger picture is served at this length of its longer side: a network of the paper's
# width takes about 2 GB for it.
LARGEST_SERVED = 2048

# Grey levels, mean over a picture. Rounding to whole levels can differ by one anywhere.
SAME = 1.0
EXACT = Tolerance(agreement=1.0, difference=0.1)
# TensorFlow decodes to one grey level of Pillow.
BYTES = Tolerance(agreement=0.98, difference=1.0)
DEVICE = {
    "none": EXACT,
    "float16": Tolerance(agreement=0.9, difference=2.0),
    "dynamic": Tolerance(agreement=0.0, difference=8.0),
    "int8": Tolerance(agreement=0.0, difference=16.0),
}


class StyleJob(Job):
    """A network trained by `kerasdl.trainers.style_transfer`; see `Job`.

    Raises:
        InputError: Where the run optimised a picture, or its model is missing or damaged.
    """

    name = "style"

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        if config["method"] != "network":
            raise InputError(
                f"{workdir}: the run optimised one picture and trained no network; "
                "--config=configs/style/feed_forward.py trains one."
            )
        self.model = kerasdl.load(workdir).model
        self._size = DEVICE_SIZE

    def resize(self, size: int) -> None:
        """Sets the side of the square picture that a TFLite file takes."""
        if size < 16 or size % STRIDE:
            raise InputError(
                f"--size must be a multiple of {STRIDE}, 16 at least, got {size}."
            )
        self._size = size

    def examples(self, split: str, count: int) -> list[Example]:
        """Pictures of the run: held out for `val`, trained on for `train`."""
        from kerasdl.training.style_network import picture_splits

        trained, held_out, _ = picture_splits(ConfigDict(self.config))
        pictures = trained if split == "train" else held_out
        return [
            Example(str(path), path.read_bytes())
            if isinstance(path, Path)
            else Example(f"drawn {path}", encode_picture(pictures.picture(path), "png"))
            for path in evenly(pictures.paths, count)
        ]

    def readable(self, example: Example) -> Example:
        """`example`, if it is a whole picture."""
        decode_picture(example.data, example.name)
        return example

    def serving_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """Signatures on encoded pictures and on image tensors.

        - `serving_default(image_bytes: string[N]) -> image_bytes: string[N]`: PNG, each
          at its own size up to `LARGEST_SERVED`
        - `stylize_images(images: float[N, H, W, 3]) -> images`, RGB in 0..255
        """
        module = self._module()

        def stylize_one(data):
            image = _at_most(tf.cast(decode(data), tf.float32), LARGEST_SERVED)
            styled = apply_to_any_size(self.model, image[tf.newaxis])[0]
            return tf.io.encode_png(tf.cast(styled, tf.uint8))

        @tf.function(
            input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")]
        )
        def stylize_bytes(image_bytes):
            # One at a time: each has its own size, and the largest decides the memory.
            styled = tf.map_fn(
                stylize_one,
                image_bytes,
                fn_output_signature=tf.TensorSpec((), tf.string),
                parallel_iterations=1,
            )
            return {"image_bytes": styled}

        images = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")
        module.stylize_bytes = stylize_bytes
        module.stylize_images = tf.function(
            lambda images: {"images": apply_to_any_size(self.model, images)},
            input_signature=[images],
        )
        return module, {
            SERVING: module.stylize_bytes,
            "stylize_images": module.stylize_images,
        }

    def compare_serving(
        self, signatures: Mapping[str, Any], examples: Sequence[Example]
    ) -> dict[str, Comparison]:
        """Both signatures against the Keras model, a batch of several sizes included."""
        images = [decode_picture(example.data, example.name) for example in examples]
        images = [
            image
            if max(image.shape[:2]) <= LARGEST_SERVED
            else fit_shorter_side(image, _shorter_side(image))
            for image in images
        ]
        expected = [self._reference(image) for image in images]
        data = [example.data for example in examples]
        singly = signatures[SERVING](image_bytes=tf.constant(data[:1]))
        served = signatures[SERVING](image_bytes=tf.constant(data))["image_bytes"].numpy()
        if singly["image_bytes"].numpy()[0] != served[0]:
            raise InputError(
                "the SavedModel repaints a picture differently alone and in a batch; "
                "nothing was written."
            )
        by_tensor = [
            signatures["stylize_images"](images=_batch(image))["images"].numpy()[0]
            for image in images
        ]
        decoded = [decode_picture(png, "the SavedModel's PNG") for png in served]
        return {
            SERVING: _compare(decoded, expected, BYTES),
            "stylize_images": _compare(by_tensor, expected, EXACT),
        }

    def device_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """The signature of a device: one picture of a fixed size in, one out.

        `serving_default(image: float[1, S, S, 3]) -> image: float[1, S, S, 3]`
        """
        module = self._module()
        spec = tf.TensorSpec((1, self._size, self._size, 3), tf.float32, name="image")
        module.stylize = tf.function(
            lambda image: {"image": self.model(image, training=False)},
            input_signature=[spec],
        )
        return module, {SERVING: module.stylize}

    def device_files(self) -> dict[str, str]:
        """None: a picture needs no labels."""
        return {}

    def device_metadata(self) -> dict[str, Any]:
        """How a picture becomes the input."""
        return {
            "input": {
                "name": "image",
                "kind": "picture",
                "shape": [1, self._size, self._size, 3],
                "preparation": PREPARATION,
                "channels": "RGB",
                "range": [0, 255],
            },
        }

    def device_inputs(self, examples: Sequence[Example]) -> list[dict[str, np.ndarray]]:
        """The prepared picture of each example."""
        return [{"image": _batch(self._prepared(example))} for example in examples]

    def compare_device(
        self,
        outputs: Sequence[Mapping[str, np.ndarray]],
        examples: Sequence[Example],
        quantize: str,
    ) -> Comparison:
        """Pictures against the Keras model's."""
        expected = [self._reference(self._prepared(example)) for example in examples]
        images = [np.rint(output["image"][0]) for output in outputs]
        return _compare(images, expected, DEVICE[quantize])

    def _module(self) -> tf.Module:
        # The variables alone: saving the Keras objects themselves would tie the
        # SavedModel to their classes.
        module = tf.Module()
        module.weights = [variable.value for variable in self.model.variables]
        return module

    def _prepared(self, example: Example) -> np.ndarray:
        image = decode_picture(example.data, example.name)
        return prepare_picture(image, self._size, PREPARATION)

    def _reference(self, image: np.ndarray) -> np.ndarray:
        return apply_to_any_size(self.model, tf.constant(_batch(image))).numpy()[0]


def _batch(image: np.ndarray) -> np.ndarray:
    return image[np.newaxis].astype(np.float32)


def _shorter_side(image: np.ndarray) -> int:
    height, width = image.shape[:2]
    return LARGEST_SERVED * min(height, width) // max(height, width)


def _at_most(image: tf.Tensor, longest: int) -> tf.Tensor:
    """float32 (H, W, 3), reduced where its longer side is above `longest`."""
    shape = tf.shape(image)[:2]
    longer, shorter = tf.reduce_max(shape), tf.reduce_min(shape)
    target = longest * shorter // longer  # of the shorter side
    reduced = tf.cond(
        longer > longest,
        lambda: tf.round(
            tf.image.resize(image, target * shape // shorter, antialias=True)
        ),
        lambda: image,
    )
    return tf.ensure_shape(reduced, (None, None, 3))


def _compare(
    images: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: Tolerance
) -> Comparison:
    differences = [
        float(np.abs(image.astype(np.float64) - wanted).mean())
        for image, wanted in zip(images, expected, strict=True)
    ]
    return Comparison(
        len(differences),
        sum(difference <= SAME for difference in differences),
        max(differences),
        tolerance,
    )
