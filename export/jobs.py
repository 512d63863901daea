"""Exports of trained runs, and the table of the modules of each job.

A new job is one module with a subclass of `Job`, or of `PictureJob` if pictures go in,
and a line in `JOBS`; the commands, the files they write and the manifests are shared.
"""

import abc
import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from kerasdl.errors import InputError
from kerasdl.export.comparison import Tolerance
from kerasdl.export.proof import Case, file_entry
from kerasdl.export.subject import SERVING, Accuracy, Export, Request, Subject
from kerasdl.runs import read_run

JOBS = {
    "captioning": "kerasdl.export.captioning:CaptioningJob",
    "style": "kerasdl.export.style:StyleJob",
    "text": "kerasdl.export.text:TextJob",
    "transfer": "kerasdl.export.transfer:TransferJob",
}
# As `SERVING`, with a status for each row: a broken input answers alone.
EACH = "serving_each"
# Training inputs from which int8 measures the ranges of the activations.
CALIBRATION = 500
# Pictures that the Keras model answers at once.
BATCH = 32
# Of a difference of two shares, which may be that very loss.
ROUNDING = 1e-9

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Example:
    """A real input that an export is compared on.

    Attributes:
        name: Its file's path, or its name in the data set.
        data: Its bytes, as a client would send them.
    """

    name: str
    data: bytes


def evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` of the items, evenly apart, first and last among them.

    >>> evenly("abcdefghi", 3), evenly("ab", 3), evenly("", 3)
    (['a', 'e', 'i'], ['a', 'b'], [])
    """
    places = np.linspace(0, len(items) - 1, min(len(items), count)).round().astype(int)
    return [items[place] for place in places]


def module_of(model: Any) -> Any:
    """A `tf.Module` with the variables of a model.

    The variables alone: saving the Keras objects would tie the SavedModel to their
    classes.
    """
    import tensorflow as tf

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    return module


def add_labels(module: Any, labels: Sequence[str]) -> None:
    """Puts labels.txt into a SavedModel's assets, in the order of the outputs."""
    add_asset(module, "labels.txt", "".join(f"{label}\n" for label in labels))


def add_asset(module: Any, name: str, text: str) -> None:
    """Puts a text file into a SavedModel's assets."""
    import tensorflow as tf

    # Kept by the module until the SavedModel, which copies the file, is written.
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / name
    path.write_text(text, encoding="utf-8")
    key = name.partition(".")[0]
    setattr(module, f"{key}_folder", folder)
    setattr(module, f"{key}_asset", tf.saved_model.Asset(str(path)))


class Job(Subject):
    """A trained run as the exports see it.

    Args:
        workdir: The folder that the trainer wrote.
        config: The run's resolved config.

    Attributes:
        name: The job's name in config.json.
        input_kind: What one input is: `"picture"`, a file, or `"text"`, a line of one.
        signatures: What `Request.signatures` may hold.
        model: The Keras model.
    """

    name: ClassVar[str]
    input_kind: ClassVar[str] = "picture"
    signatures: ClassVar[Sequence[str]] = ("infer",)
    model: Any

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        self.workdir = workdir
        self.config = config

    def source(self) -> dict[str, Any]:
        """Size and digest of the run's model."""
        return file_entry(self.workdir / "model.keras")

    @abc.abstractmethod
    def examples(self, split: str, count: int) -> list[Example]:
        """Inputs of a split, or of `train` if that split is empty.

        They are taken evenly from the whole of it, so that all classes come even if the
        split is sorted by class.

        Args:
            split: `train` or `val`.
            count: How many at most.

        Raises:
            InputError: The data set cannot be read any more.
        """

    @abc.abstractmethod
    def readable(self, example: Example) -> Example:
        """`example`, if it can be read.

        Raises:
            InputError: It cannot; names it.
        """

    def given(self, split: str, count: int, files: Sequence[str] = ()) -> list[Example]:
        """Readable inputs of a split, or from the files that a request names."""
        from kerasdl.export import inputs

        return inputs.export_examples(self, split, count, files)

    def check(self, request: Request) -> None:
        """Raises InputError if this job cannot give what is asked for."""
        unknown = [name for name in request.signatures if name not in self.signatures]
        if unknown:
            raise InputError(
                f"`signatures`: the {self.name} job exports "
                f"{', '.join(self.signatures)}, got {unknown[0]!r}."
            )
        for name in ("representative", "labels", "vocabulary"):
            if getattr(request, name) is not None:
                raise InputError(f"`{name}` is what the run itself gives; got one.")

    def accuracy(
        self, answer: Callable[[Example], Mapping[str, np.ndarray]], allowed: float
    ) -> Accuracy | None:
        """How often an export is right on the validation split, if anyone can tell.

        Args:
            answer: The outputs of `SERVING` for one input, a batch of 1.
            allowed: The share that the export may lose.

        Raises:
            InputError: The export loses more.
        """
        triples = [
            (label, expected, np.asarray(answer(example)["probabilities"])[0].argmax())
            for label, expected, example in self.labelled()
        ]
        if not triples:
            return None
        truth, model, export = np.array(triples).T
        accuracy = Accuracy(
            len(truth),
            float((export == truth).mean()),
            float((model == truth).mean()),
            allowed,
        )
        if accuracy.export < accuracy.model - allowed - ROUNDING:
            raise InputError(
                f"the export is right on {accuracy.export:.4f} of {accuracy.examples} "
                f"validation {self.input_kind}s, the model on {accuracy.model:.4f}; at "
                f"most {allowed:.4g} less is allowed; nothing was written."
            )
        return accuracy

    def labelled(self) -> Iterator[tuple[int, int, Example]]:
        """Label, class by the Keras model and input of the validation split."""
        return iter(())


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
    def graph(self, images: Any, model: Any) -> dict[str, Any]:
        """Numbers for float32 (N, S, S, 3), RGB in 0..255, in TensorFlow's graph."""

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
        size = self.size
        model = self.device_model(request)
        module = module_of(model)
        shape = (request.batch or 1, size, size, 3)
        module.on_image = tf.function(
            lambda image: self.graph(image, model),
            input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
        )
        examples = self.given("val", request.examples, request.inputs)
        images = np.concatenate([self.image(example) for example in examples])
        expected = self.answers(images)
        export = Export(
            module,
            {SERVING: module.on_image},
            [
                Case(
                    SERVING,
                    {"image": images[start : start + shape[0]]},
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
            export.calibration = (
                {"image": np.repeat(self.image(example), shape[0], axis=0)}
                for example in self.given("train", CALIBRATION, request.inputs)
            )
        return export


# What `EACH` says of a row that is none.
BROKEN = "expected a whole JPEG or PNG picture"


def of_any_batch(answer: Callable) -> Callable:
    """`answer`, from pictures (N, ...) to outputs by name, that takes N = 0 too.

    TensorFlow's optimiser moves a BatchNorm's factor before a convolution, and fails to
    if there are no samples; so an empty batch is answered with one blank sample.
    """
    import tensorflow as tf

    def answer_any(pictures):
        count = tf.shape(pictures)[0]
        missing = tf.cast(tf.equal(count, 0), tf.int32)
        edges = [[0, missing]] + [[0, 0]] * (pictures.shape.rank - 1)
        results = answer(tf.pad(pictures, edges))
        return {name: value[:count] for name, value in results.items()}

    return answer_any


def add_encoded_signatures(
    module: Any, read: Callable, blank: Any, answer: Callable, outputs: Sequence[str] = ()
) -> None:
    """Adds the signatures on encoded pictures to a module, `on_bytes` and `on_each`.

    Args:
        module: A `tf.Module`.
        read: From a scalar string to a picture, a tensor; may fail when run.
        blank: What takes the place of a picture that cannot be read.
        answer: From a batch of pictures to outputs by name.
        outputs: The names that encoded pictures are answered with; all by default.
    """
    import tensorflow as tf

    def guarded(data):
        # The one construct of a graph that goes on after an operation has failed.
        whole = tf.data.Dataset.from_tensors(data).map(lambda d: (read(d), True))
        broken = tf.data.Dataset.from_tensors((blank, False))
        whole = whole.ignore_errors().concatenate(broken)
        return whole.take(1).get_single_element()

    spec = tf.TensorSpec((None,), tf.string, name="image_bytes")

    @tf.function(input_signature=[spec], autograph=False)
    def on_each(image_bytes):
        pictures, whole = tf.map_fn(
            guarded,
            image_bytes,
            fn_output_signature=(
                tf.TensorSpec(blank.shape, blank.dtype),
                tf.TensorSpec((), tf.bool),
            ),
        )
        results = {
            n: v for n, v in answer(pictures).items() if not outputs or n in outputs
        }
        for name, value in results.items():
            rows = tf.reshape(whole, [-1] + [1] * (value.shape.rank - 1))
            results[name] = tf.where(rows, value, tf.zeros((), value.dtype))
        return results | {"status": tf.where(whole, "", BROKEN)}

    @tf.function(input_signature=[spec], autograph=False)
    def on_bytes(image_bytes):
        results = dict(on_each(image_bytes))
        broken = tf.where(tf.not_equal(results.pop("status"), ""))[:, 0]
        check = tf.debugging.Assert(
            tf.equal(tf.size(broken), 0), [f"{BROKEN}; broken are the rows", broken]
        )
        with tf.control_dependencies([check]):
            return {name: tf.identity(value) for name, value in results.items()}

    module.on_each, module.on_bytes = on_each, on_bytes


def encoded_cases(data: Sequence[bytes], rows: Mapping[str, np.ndarray]) -> list[Case]:
    """Calls with encoded pictures: each alone, all at once with one broken, and none.

    Args:
        data: The pictures.
        rows: What the model answers, a row for each.
    """

    def call(signature, pictures, outputs):
        inputs = {"image_bytes": strings(pictures)}
        return Case(signature, inputs, dict(outputs))

    def part(start, end):
        return {name: value[start:end] for name, value in rows.items()}

    cases = [call(SERVING, data[k : k + 1], part(k, k + 1)) for k in range(len(data))]
    cases.append(call(SERVING, (), part(0, 0)))
    with_broken = {
        name: np.insert(value, 1, _blank(value), axis=0) for name, value in rows.items()
    }
    with_broken["status"] = strings([b""] * (len(data) + 1))
    with_broken["status"][1] = BROKEN.encode()
    broken = data[0][: len(data[0]) // 2]
    return [*cases, call(EACH, [*data[:1], broken, *data[1:]], with_broken)]


def _blank(value: np.ndarray) -> Any:
    return b"" if value.dtype == object else 0


def strings(values: Sequence[bytes]) -> np.ndarray:
    """An array of byte strings, (N,), of any length each."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def load_job(workdir: str | Path) -> Job:
    """The run in `workdir`, ready to export.

    Raises:
        InputError: There is no finished run, its job has no exports, or a file of it is
            damaged.
    """
    run = read_run(workdir)
    if run["job"] not in JOBS:
        raise InputError(
            f"{Path(workdir) / 'config.json'}: exports exist for the jobs "
            f"{', '.join(JOBS)}, got {run['job']!r}."
        )
    module, _, name = JOBS[run["job"]].partition(":")
    return getattr(importlib.import_module(module), name)(Path(workdir), run["config"])
