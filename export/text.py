"""The text job's exports: strings in on a server, token ids in on a device.

The SavedModel splits at ASCII white space with `tf.strings.split` and looks words up in
a table of its own, so that TensorFlow alone serves it. A run on raw text (its tokenizer's
kind is "text") puts TensorFlow Text's operations into the graph; such a SavedModel loads
only where `tensorflow_text` is imported, and says so in `assets/requirements.txt`.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from kerasdl.export.jobs import (
    SERVING,
    Accuracy,
    Comparison,
    Example,
    Job,
    Tolerance,
    evenly,
)
from kerasdl.export.litert_text import pad_ids
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.texts.dataset import TextDataset
from kerasdl.data.texts.graph import TextEncoder, VocabularyTable, split_in_graph
from kerasdl.data.texts.lines import check_text
from kerasdl.data.texts.tokens import PADDING, TokenRows
from kerasdl.errors import InputError
from kerasdl.layers import LSTM, SimpleRNN
from kerasdl.ops.execution import steps_written_out
from kerasdl.training.text import TextScorer, load_dataset

# Same ids in, same arithmetic: only the order of sums differs.
SAME = Tolerance(agreement=1.0, difference=1e-4)
DEVICE = {
    "none": SAME,
    "float16": Tolerance(agreement=0.98, difference=0.05),
    "dynamic": Tolerance(agreement=0.96, difference=0.3),
    "int8": Tolerance(agreement=0.94, difference=0.5),
}
# What quantisation may cost of the validation split's accuracy.
ACCURACY_LOSS = 0.002


class TextJob(Job):
    """A classifier trained by `kerasdl.trainers.text_classification`; see `Job`.

    Raises:
        InputError: Where the model is missing, damaged, or no match for vocab.txt.
    """

    name = "text"
    input_kind = "text"

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        trained = kerasdl.load(workdir)
        self.model = trained.model
        self.vocabulary = trained.vocabulary
        self.tokenizer = trained.tokenizer
        self.labels = trained.labels
        if len(self.vocabulary) != self.model.vocabulary_size:
            raise InputError(
                f"{workdir / 'vocab.txt'}: expected the model's "
                f"{self.model.vocabulary_size} words, got {len(self.vocabulary)}."
            )

        self._encode = TextEncoder(self.tokenizer, self.vocabulary)
        self._length: int | None = None

    def prepare(self, quantize: str) -> None:
        """Gives int8 files of recurrent models a fixed length, their steps written out.

        The length is that of the longest training sentence; what is longer is cut.
        """
        recurrent = (keras.layers.RNN, SimpleRNN, LSTM)
        if quantize != "int8" or not any(
            isinstance(layer, recurrent) for layer in self.model.layers
        ):
            return
        self._length = int(self._encode(self._dataset.train.texts).lengths.max())

    @functools.cached_property
    def _dataset(self) -> TextDataset:
        return load_dataset(ConfigDict(self.config))

    def examples(self, split: str, count: int) -> list[Example]:
        """Sentences of a split of the data set that the run's config names."""
        texts = (getattr(self._dataset, split) or self._dataset.train).texts
        by_length = sorted(texts, key=len)  # short ones and long ones come
        return [
            Example(f"{split}, by length, {place}", text.encode())
            for place, text in evenly([*enumerate(by_length, start=1)], count)
        ]

    def readable(self, example: Example) -> Example:
        """`example`, if it is text."""
        try:
            rule = check_text(example.data.decode("utf-8"))
        except UnicodeDecodeError as error:
            rule = f"expected UTF-8, got byte 0x{example.data[error.start]:02x}"
        if rule is not None:
            raise InputError(f"{example.name}: {rule}")
        return example

    def serving_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """Signatures on strings and on token ids.

        - `serving_default(text: string[N]) -> label: string[N],
          probabilities: float[N, K]`
        - `classify_tokens(ids: int[N, T]) -> label, probabilities`; ids are line numbers
          of vocab.txt counted from 0, `PADDING` after the last token.
        """
        module = self._module()
        module.table = VocabularyTable(self.vocabulary)
        if self.tokenizer.kind == "text":
            path = self.workdir / "requirements.txt"
            path.write_text("tensorflow-text\n", encoding="utf-8")
            module.requirements = tf.saved_model.Asset(str(path))
        labels = tf.constant(self.labels)

        def classify(ids: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = self.model.probabilities(self.model(ids, training=False))
            chosen = tf.argmax(probabilities, axis=1)
            return {"label": tf.gather(labels, chosen), "probabilities": probabilities}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def classify_text(text):
            tokens = module.table(split_in_graph(text, self.tokenizer))
            ids = tokens.to_tensor(PADDING)
            # A column more: reductions over time have something to reduce where no
            # sentence has a token.
            return classify(tf.pad(ids, [[0, 0], [0, 1]], constant_values=PADDING))

        module.classify_text = classify_text
        module.classify_tokens = tf.function(
            classify,
            input_signature=[tf.TensorSpec((None, None), tf.int32, name="ids")],
        )
        return module, {
            SERVING: module.classify_text,
            "classify_tokens": module.classify_tokens,
        }

    def compare_serving(
        self, signatures: Mapping[str, Any], examples: Sequence[Example]
    ) -> dict[str, Comparison]:
        """Both signatures against the Keras model, in one batch."""
        rows = self._rows(examples)
        texts = tf.constant([example.data for example in examples])
        results = {
            SERVING: signatures[SERVING](text=texts),
            "classify_tokens": signatures["classify_tokens"](
                ids=tf.constant(rows.padded())
            ),
        }
        for name, result in results.items():
            told = [label.decode() for label in result["label"].numpy()]
            chosen = result["probabilities"].numpy().argmax(axis=1)
            if told != [self.labels[index] for index in chosen]:
                raise InputError(
                    f"the SavedModel's signature {name} names another label than that of "
                    "the largest probability; nothing was written."
                )
        return {
            name: self._compare(result["probabilities"].numpy(), rows, SAME)
            for name, result in results.items()
        }

    def device_module(self) -> tuple[tf.Module, dict[str, Any]]:
        """`serving_default(ids: int[1, T]) -> probabilities: float[1, K]`."""
        module = self._module()

        def classify(ids):
            with steps_written_out() if self._length else contextlib.nullcontext():
                logits = self.model(ids, training=False)
            return {"probabilities": self.model.probabilities(logits)}

        module.classify = tf.function(
            classify,
            input_signature=[tf.TensorSpec((1, self._length), tf.int32, name="ids")],
        )
        return module, {SERVING: module.classify}

    def device_files(self) -> dict[str, str]:
        """Vocabulary, labels and tokenizer."""
        tokenizer = self.tokenizer
        if self._length:
            tokenizer = dataclasses.replace(tokenizer, max_tokens=self._length)
        return {
            "vocab.txt": self.vocabulary.to_bytes().decode("utf-8"),
            "labels.txt": "".join(f"{label}\n" for label in self.labels),
            "tokenizer.json": tokenizer.to_json(),
        }

    def device_metadata(self) -> dict[str, Any]:
        """How a text becomes the input."""
        return {"input": {"name": "ids", "kind": "text", "shape": [1, self._length]}}

    def device_inputs(self, examples: Sequence[Example]) -> list[dict[str, np.ndarray]]:
        """The ids of each example, (1, T)."""
        rows = self._rows(examples)
        inputs = [rows.padded(slice(n, n + 1)) for n in range(len(rows))]
        if self._length:
            inputs = [pad_ids(ids, self._length) for ids in inputs]
        return [{"ids": ids} for ids in inputs]

    def compare_device(
        self,
        outputs: Sequence[Mapping[str, np.ndarray]],
        examples: Sequence[Example],
        quantize: str,
    ) -> Comparison:
        """Labels and probabilities against the Keras model's."""
        probabilities = np.concatenate([output["probabilities"] for output in outputs])
        return self._compare(probabilities, self._rows(examples), DEVICE[quantize])

    def measure_accuracy(
        self, answer: Callable[[Example], Mapping[str, np.ndarray]]
    ) -> Accuracy | None:
        """Of all sentences of the validation split, where there is one."""
        split = self._dataset.val
        if not len(split):
            return None
        rows = self._encode(split.texts)
        expected = TextScorer(self.model).probabilities(rows).argmax(axis=1)
        got = np.array(
            [
                np.asarray(
                    answer(Example("val", text.encode()))["probabilities"]
                ).argmax()
                for text in split.texts
            ]
        )
        return Accuracy(
            len(split),
            export=float((got == split.labels).mean()),
            model=float((expected == split.labels).mean()),
        )

    def accuracy_loss(self, quantize: str, examples: int) -> float:
        """`ACCURACY_LOSS`, however it was quantised."""
        del quantize, examples
        return ACCURACY_LOSS

    def _module(self) -> tf.Module:
        # The variables alone: saving the Keras objects themselves would tie the
        # SavedModel to their classes.
        module = tf.Module()
        module.weights = [variable.value for variable in self.model.variables]
        return module

    def _rows(self, examples: Sequence[Example]) -> TokenRows:
        texts = [example.data.decode("utf-8") for example in examples]
        return self._encode(texts)

    def _compare(
        self, probabilities: np.ndarray, rows: TokenRows, tolerance: Tolerance
    ) -> Comparison:
        expected = TextScorer(self.model).probabilities(rows)
        same = probabilities.argmax(axis=1) == expected.argmax(axis=1)
        difference = float(np.abs(probabilities - expected).max(initial=0.0))
        return Comparison(len(rows), int(same.sum()), difference, tolerance)
