"""Exports of the style job: graphs around a trained feed-forward network, and checks.

Two pictures are the same answer if they differ by a grey level on average at most;
`difference` is that mean over the picture, of the worst picture.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.pictures.decoding import decode_picture
from kerasdl.data.pictures.graph import decode
from kerasdl.errors import InputError
from kerasdl.export import forms
from kerasdl.export.comparison import Tolerance
from kerasdl.export.encoded import EACH, add_encoded_signatures, encoded_cases
from kerasdl.export.jobs import Example, evenly, module_of, strings
from kerasdl.export.picture_jobs import PictureJob
from kerasdl.export.proof import Case
from kerasdl.export.subject import SERVING, Export, Request
from kerasdl.models.style_network import STRIDE, apply_to_any_size
from kerasdl.style.pictures import encode_picture

# Side of a TFLite file's input if `size` does not say.
DEVICE_SIZE = 256
# A larger picture is served at this length of its longer side: a network of the paper's
# width takes about 2 GB for it.
LARGEST_SERVED = 2048


class StyleJob(PictureJob):
    """A network trained by `kerasdl.trainers.style_transfer`; see `PictureJob`.

    - `serving_default(image_bytes: string[N]) -> image_bytes: string[N]`: PNG, each at
      its own size up to `LARGEST_SERVED`
    - `stylize_images(images: float[N, H, W, 3]) -> images`, RGB in 0..255
    - on a device `serving_default(image: float[1, S, S, 3]) -> image`

    A network for several styles takes `style_weights: float[N, styles]` besides, in every
    signature.

    Raises:
        InputError: The run optimised a picture, or its model is missing or damaged.
    """

    name = "style"
    images_signature = "stylize_images"
    # Grey levels, mean over a picture.
    tensors = Tolerance(1.0, 0.1, "pictures")
    # TensorFlow decodes to one grey level of Pillow.
    encoded = Tolerance(0.98, 1.0, "pictures")
    on_device: ClassVar = {
        "none": tensors,
        "float16": Tolerance(0.9, 2.0, "pictures"),
    } | {
        quantize: Tolerance(0.0, 3.0, "pictures")
        for quantize in ("dynamic", "weights", "int8")
    }

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        if config["method"] != "network":
            raise InputError(
                f"{workdir}: the run optimised one picture and trained no network; "
                "--config=configs/style/feed_forward.py trains one."
            )
        self.model = kerasdl.load(workdir).model
        self._size = DEVICE_SIZE

    def further(self, count: int) -> dict[str, np.ndarray]:
        """Weights of the styles for `count` pictures: each alone, then all at once."""
        styles = self.model.styles
        if styles == 1:
            return {}
        rows = np.vstack([np.eye(styles), np.full((1, styles), 1 / styles)])
        return {"style_weights": rows[np.arange(count) % len(rows)].astype(np.float32)}

    @property
    def size(self) -> int:
        """The side of the square picture that a TFLite file takes."""
        return self._size

    def check(self, request: Request) -> None:
        """See `Job`; takes `size`."""
        super().check(request)
        if request.size and (request.size < 16 or request.size % STRIDE):
            raise InputError(
                f"--size must be a multiple of {STRIDE}, 16 at least, got {request.size}."
            )
        self._size = request.size or DEVICE_SIZE

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

    def graph(
        self, images: tf.Tensor, model: Any, *further: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The repainted picture, operations in forms that are fast on a device."""
        inputs = [images, *further] if further else images
        return {"image": forms.run_with(model, inputs, _form_of)}

    def expected(self, answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `PictureJob`."""
        return dict(answers)

    def answers(self, images: np.ndarray, *further: np.ndarray) -> dict[str, np.ndarray]:
        """What the Keras model as it is answers."""
        rows = []
        for row in zip(images, *further, strict=True):
            inputs = [each[np.newaxis] for each in row]
            rows.append(self.model(inputs if further else inputs[0], training=False))
        return {"image": np.rint(np.concatenate(rows))}

    def served(self, request: Request) -> Export:
        """Signatures on encoded pictures and on image tensors."""
        self.check(request)
        module = module_of(self.model)

        def stylize_one(row):
            data, *weights = row
            image = _at_most(tf.io.decode_png(data), LARGEST_SERVED)
            return tf.io.encode_png(tf.cast(self._stylize(image, *weights), tf.uint8))

        def stylize(images, *further):
            # One at a time: each has its own size, and the largest decides the memory.
            styled = tf.map_fn(
                stylize_one,
                (images, *further),
                fn_output_signature=tf.TensorSpec((), tf.string),
                parallel_iterations=1,
            )
            return {"image_bytes": styled}

        examples = self.given("val", request.examples, request.inputs)
        further = self.further(len(examples))
        specs = [
            tf.TensorSpec((None, *value.shape[1:]), tf.float32, name=name)
            for name, value in further.items()
        ]

        # Pictures of several sizes are one tensor only if they are encoded.
        add_encoded_signatures(
            module,
            lambda data: tf.io.encode_png(decode(data)),
            tf.io.encode_png(tf.zeros((8, 8, 3), tf.uint8)),
            stylize,
            further=specs,
        )
        images = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")
        module.on_images = tf.function(
            lambda images, *weights: {
                "images": apply_to_any_size(self.model, images, *weights)
            },
            input_signature=[images, *specs],
        )
        pictures = [
            _at_most(tf.constant(decode_picture(e.data, e.name)), LARGEST_SERVED)
            for e in examples
        ]
        styled = [
            self._stylize(*row).numpy()
            for row in zip(pictures, *further.values(), strict=True)
        ]
        encoded = [encode_picture(image.astype(np.uint8), "png") for image in styled]
        cases = encoded_cases(
            [example.data for example in examples],
            {"image_bytes": strings(encoded)},
            further,
        )
        cases += [
            Case(
                "stylize_images",
                {
                    "images": picture.numpy()[np.newaxis],
                    **{name: value[k : k + 1] for name, value in further.items()},
                },
                {"images": image[np.newaxis]},
            )
            for k, (picture, image) in enumerate(zip(pictures, styled, strict=True))
        ]
        return Export(
            module,
            {
                SERVING: module.on_bytes,
                EACH: module.on_each,
                "stylize_images": module.on_images,
            },
            cases,
            {
                SERVING: self.encoded,
                EACH: self.encoded,
                "stylize_images": self.tensors,
            },
        )

    def _stylize(self, image: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        """float32 (H, W, 3) of one picture, whole grey levels."""
        rows = (tf.convert_to_tensor(each)[tf.newaxis] for each in (image, *weights))
        return apply_to_any_size(self.model, *rows)[0]


def _form_of(operation: Any) -> Any:
    """An operation in the form that LiteRT runs fastest, with the same bits.

    It copies rows one by one to mirror a border, and enlarges through a larger tensor.
    """
    if type(operation).__name__ == "Pad" and operation.mode == "reflect":
        (_, (width, _), _, _) = operation.pad_width
        return lambda x, **_: _mirrored(_mirrored(x, 1, width), 2, width)
    if isinstance(operation, keras.layers.UpSampling2D):
        return _enlarged
    return operation


def _mirrored(x: tf.Tensor, axis: int, width: int) -> tf.Tensor:
    """Widens an axis by its mirror image at both ends, without the edge itself."""
    side = x.shape[axis]
    if side is None:
        edges = [(0, 0)] * 4
        edges[axis] = (width, width)
        return tf.pad(x, edges, "REFLECT")
    before = [_row(x, axis, k) for k in range(width, 0, -1)]
    after = [_row(x, axis, side - 2 - k) for k in range(width)]
    return tf.concat([*before, x, *after], axis)


def _row(x: tf.Tensor, axis: int, place: int) -> tf.Tensor:
    return x[:, place : place + 1] if axis == 1 else x[:, :, place : place + 1]


def _enlarged(x: tf.Tensor) -> tf.Tensor:
    """Each pixel as four."""
    height, width = x.shape[1:3]
    if height is None or width is None:
        return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
    return tf.image.resize(x, (2 * height, 2 * width), "nearest")


def _at_most(image: tf.Tensor, longest: int) -> tf.Tensor:
    """float32 (H, W, 3), reduced if its longer side is above `longest`."""
    image = tf.cast(image, tf.float32)
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
