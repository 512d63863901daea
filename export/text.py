"""Exports of the text job: a server takes strings, a device token ids.

The SavedModel splits at ASCII white space with `tf.strings.split` and looks words up in
a table of its own, so that TensorFlow alone serves it. A run on raw text (its tokenizer's
kind is "text") puts TensorFlow Text's operations into the graph; such a SavedModel loads
only if `tensorflow_text` is imported, and says so in `assets/requirements.txt`.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import kerasdl
from kerasdl.data.decisions import SEPARATOR, Decision
from kerasdl.data.texts.dataset import TextDataset
from kerasdl.data.texts.graph import (
    TextEncoder,
    VocabularyTable,
    ids_in_graph,
    split_in_graph,
)
from kerasdl.data.texts.lines import check_text
from kerasdl.data.texts.tokens import PADDING, TokenRows
from kerasdl.errors import InputError
from kerasdl.export.comparison import Tolerance
from kerasdl.export.jobs import (
    CALIBRATION,
    Example,
    Job,
    add_asset,
    add_labels,
    evenly,
    module_of,
    strings,
)
from kerasdl.export.keras_model import choose_strategy
from kerasdl.export.litert_text import pad_ids
from kerasdl.export.metadata import VOCABULARY_IDS, vocabulary_ids
from kerasdl.export.proof import Case
from kerasdl.export.static_gradients import static_gradients
from kerasdl.export.subject import SERVING, Export, Request
from kerasdl.layers import emissions_in_buffers, steps_written_out
from kerasdl.models.text.attribution import effects_in_graph, word_effects
from kerasdl.training.text_corpus import TextScorer, load_dataset

# Same ids in, same arithmetic: only the order of sums differs.
SAME = Tolerance(1.0, 1e-4, "classes")
DEVICE = {
    "none": SAME,
    "float16": Tolerance(0.98, 0.05, "classes"),
    "dynamic": Tolerance(0.96, 0.3, "classes"),
    "weights": Tolerance(0.96, 0.3, "classes"),
    "int8": Tolerance(0.94, 0.5, "classes"),
}
# The signature that tells what words do, and what it may differ by, of its range.
EXPLAIN = "explain"
SAME_EFFECTS = Tolerance(1.0, 1e-4)
# What quantisation may cost of the validation split's accuracy.
ACCURACY_LOSS = 0.002


def names_in_graph(
    labels: Sequence[str], decision: Decision, probabilities: tf.Tensor
) -> tf.Tensor:
    """`Decision.names` in a graph: string (N,) from float (N, K)."""
    names = tf.constant(list(labels))
    if not decision.multi_label:
        return tf.gather(names, explained(decision, probabilities))
    chosen = probabilities >= tf.constant(decision.thresholds or 0.5, tf.float32)
    rows = tf.broadcast_to(names, tf.shape(chosen))
    given = tf.ragged.boolean_mask(rows, chosen)
    return tf.strings.reduce_join(given, axis=1, separator=SEPARATOR)


def explained(decision: Decision, probabilities: Any) -> tf.Tensor:
    """The class that is explained, int (N,): the answer, or the most probable label."""
    shares = tf.convert_to_tensor(probabilities)
    if decision.thresholds and not decision.multi_label:
        shares = shares / tf.constant(decision.thresholds, tf.float32)
    return tf.argmax(shares, axis=1, output_type=tf.int32)


class TextJob(Job):
    """A classifier trained by `kerasdl.trainers.text_classification`; see `Job`.

    - `serving_default(text: string[N]) -> label: string[N], probabilities: float[N, K]`
    - `classify_tokens(ids: int[N, T]) -> label, probabilities`; ids are line numbers of
      vocab.txt counted from 0, `PADDING` after the last token
    - if "explain" is asked for, `explain(text) -> label, probabilities, tokens:
      string[N, T], effects: float[N, T]`, what each word does to the answer (see
      `kerasdl.models.text.attribution`), of several labels to the most probable one; on
      a device `explain(ids: int[1, T]) -> probabilities, effects: float[1, T]`
    - on a device `serving_default(ids: int[1, T]) -> probabilities: float[1, K]`

    Raises:
        InputError: The model is missing, damaged, or no match for vocab.txt.
    """

    name = "text"
    input_kind = "text"
    signatures = ("infer", EXPLAIN)

    def __init__(self, workdir: Path, config: Mapping[str, Any]) -> None:
        super().__init__(workdir, config)
        trained = kerasdl.load(workdir)
        self.model = trained.model
        self.vocabulary = trained.vocabulary
        self.tokenizer = trained.tokenizer
        self.labels = trained.labels
        self.decision = self.model.decision
        words = self.model.vocabulary_size - self.tokenizer.extra_ids
        if len(self.vocabulary) != words:
            raise InputError(
                f"{workdir / 'vocab.txt'}: expected the model's {words} words, got "
                f"{len(self.vocabulary)}."
            )
        self._encode = TextEncoder(self.tokenizer, self.vocabulary)
        self._score = TextScorer(self.model).probabilities

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

    def served(self, request: Request) -> Export:
        """Signatures on strings and on token ids."""
        self.check(request)
        module = module_of(self.model)
        module.table = VocabularyTable(self.vocabulary)
        if self.tokenizer.kind == "text":
            add_asset(module, "requirements.txt", "tensorflow-text\n")
        add_labels(module, self.labels)
        for name, text in self.decision.files().items():
            add_asset(module, name, text)

        def classify(ids: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = self.model.probabilities(self.model(ids, training=False))
            label = names_in_graph(self.labels, self.decision, probabilities)
            return {"label": label, "probabilities": probabilities}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def classify_text(text):
            tokens = split_in_graph(text, self.tokenizer)
            ids = ids_in_graph(tokens, module.table, self.tokenizer)
            ids = ids.merge_dims(1, 2).to_tensor(PADDING)
            # A column more: reductions over time have something to reduce if no
            # sentence has a token.
            return classify(tf.pad(ids, [[0, 0], [0, 1]], constant_values=PADDING))

        module.classify_text = classify_text
        module.classify_tokens = tf.function(
            classify,
            input_signature=[tf.TensorSpec((None, None), tf.int32, name="ids")],
        )
        examples = self.given("val", request.examples, request.inputs)
        rows = self._rows(examples)
        probabilities = self._score(rows)
        names = self.decision.names(self.labels, probabilities)
        chosen = strings([name.encode() for name in names])
        expected = {"label": chosen, "probabilities": probabilities}
        texts = strings([example.data for example in examples])
        none = {name: value[:0] for name, value in expected.items()}
        export = Export(
            module,
            {SERVING: classify_text, "classify_tokens": module.classify_tokens},
            [
                Case(SERVING, {"text": texts}, expected),
                Case(SERVING, {"text": texts[:0]}, none),
                Case("classify_tokens", {"ids": rows.padded()}, expected),
            ],
            {SERVING: SAME, "classify_tokens": SAME},
        )
        export.accuracy = lambda run: self.accuracy(
            lambda e: run(text=tf.constant([e.data])), ACCURACY_LOSS
        )
        if EXPLAIN in request.signatures:
            self._explain_texts(export, module, classify, texts, examples)
        if self.tokenizer.kind == "text":
            export.notes["requires"] = ["tensorflow_text"]
        return export

    def _explain_texts(
        self,
        export: Export,
        module: Any,
        classify: Any,
        texts: np.ndarray,
        examples: Sequence[Example],
    ) -> None:
        """Adds the signature that tells what each word does to the answer."""

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def explain(text):
            tokens = split_in_graph(text, self.tokenizer)
            parts = ids_in_graph(tokens, module.table, self.tokenizer)
            flat = parts.merge_dims(1, 2)
            padded = flat.to_tensor(PADDING)
            padded = tf.pad(padded, [[0, 0], [0, 1]], constant_values=PADDING)
            answer = classify(padded)
            chosen = explained(self.decision, answer["probabilities"])
            effects = effects_in_graph(self.model, padded, chosen)
            # Of ids back to tokens, whose parts are added up.
            ragged = tf.RaggedTensor.from_tensor(effects, flat.row_lengths())
            by_token = tf.reduce_sum(parts.with_flat_values(ragged.flat_values), axis=2)
            return answer | {
                "tokens": tokens.to_tensor(""),
                "effects": by_token.to_tensor(0.0),
            }

        module.explain = explain
        rows = self._rows(examples)
        effects = self._effects(rows)
        width = int(rows.tokens.max(initial=0))
        by_token = np.zeros((len(rows), width), np.float32)
        for place, row in enumerate(effects):
            found = rows.by_token(place, row)
            by_token[place, : len(found)] = found
        export.signatures[EXPLAIN] = explain
        export.cases.append(Case(EXPLAIN, {"text": texts}, {"effects": by_token}))
        export.tolerances[EXPLAIN] = SAME_EFFECTS

    def _effects(self, rows: TokenRows) -> np.ndarray:
        """What each id of some sentences does to the answer, float32 (N, T)."""
        ids, chosen = rows.padded(), explained(self.decision, self._score(rows))
        return word_effects(self.model, ids, np.asarray(chosen))

    def device(self, request: Request) -> Export:
        """Token ids in; of any length, or cut and padded to a fixed one."""
        self.check(request)
        recurrent = [x for x in self.model.layers if isinstance(x, keras.layers.RNN)]
        wants_length = bool(recurrent) and (
            request.quantize == "int8" or request.strategy == "unrolled"
        )
        length = request.steps
        if length is None and wants_length:
            # The longest training sentence; what is longer is cut.
            length = int(self._encode(self._dataset.train.texts).lengths.max())
        strategy = choose_strategy(
            dataclasses.replace(request, steps=length),
            bool(recurrent),
            length,
            "the text model",
            max((layer.units for layer in recurrent), default=0),
        )
        batch = request.batch or 1
        module = module_of(self.model)
        context = {"loop": emissions_in_buffers, "unrolled": steps_written_out}

        def classify(ids):
            with context.get(strategy, contextlib.nullcontext)():
                logits = self.model(ids, training=False)
            return {"probabilities": self.model.probabilities(logits)}

        module.classify = tf.function(
            classify,
            input_signature=[tf.TensorSpec((batch, length), tf.int32, name="ids")],
        )
        signatures = {SERVING: module.classify}
        if EXPLAIN in request.signatures:

            def explain(ids):
                with context.get(strategy, contextlib.nullcontext)(), static_gradients():
                    probabilities = self.model.probabilities(
                        self.model(ids, training=False)
                    )
                    chosen = explained(self.decision, probabilities)
                    effects = effects_in_graph(self.model, ids, chosen)
                return {"probabilities": probabilities, "effects": effects}

            module.explain = tf.function(
                explain,
                input_signature=[tf.TensorSpec((batch, length), tf.int32, name="ids")],
            )
            signatures[EXPLAIN] = module.explain
        tokenizer = self.tokenizer
        if length:
            tokenizer = dataclasses.replace(tokenizer, max_tokens=length)
        rows = self._rows(self.given("val", request.examples, request.inputs))
        probabilities = self._score(rows)
        fitting = [
            start
            for start in range(0, len(rows) - batch + 1, batch)
            if length is None or rows.lengths[start : start + batch].max() <= length
        ]
        export = Export(
            module,
            signatures,
            [
                Case(
                    SERVING,
                    {"ids": self._ids(rows, slice(start, start + batch), length)},
                    {"probabilities": probabilities[start : start + batch]},
                )
                for start in fitting
            ],
            {SERVING: DEVICE[request.quantize]},
            strategy,
            files={
                "vocab.txt": self.vocabulary.to_bytes().decode("utf-8"),
                "labels.txt": "".join(f"{label}\n" for label in self.labels),
                "tokenizer.json": tokenizer.to_json(),
                **self.decision.files(),
                **self._word_ids(),
            },
            metadata={"input": {"name": "ids", "kind": "text", "shape": [batch, length]}},
        )
        if EXPLAIN in request.signatures:
            effects = self._effects(rows)
            for start, case in zip(fitting, export.cases[:], strict=True):
                width = case.inputs["ids"].shape[1]
                part = effects[start : start + batch, :width]
                part = np.pad(part, [(0, 0), (0, width - part.shape[1])])
                explained_case = Case(EXPLAIN, dict(case.inputs), {"effects": part})
                export.cases.append(explained_case)
            export.tolerances[EXPLAIN] = SAME_EFFECTS
        if request.quantize == "int8":
            trained = self._rows(self.given("train", CALIBRATION, request.inputs))
            export.calibration = (
                {"ids": self._ids(trained, slice(n, n + batch), length)}
                for n in range(0, len(trained) - batch + 1, batch)
            )

        def answer(run):
            def one(example):
                ids = self._ids(self._rows([example]), slice(0, 1), length)
                return run(ids=np.repeat(ids, batch, axis=0))

            return self.accuracy(one, ACCURACY_LOSS)

        export.accuracy = answer
        return export

    def _word_ids(self) -> dict[str, str]:
        """The vocabulary for MediaPipe, whose tokens are split at white space too."""
        if self.tokenizer.kind != "whitespace" or self.tokenizer.extra_ids:
            return {}
        words = self.vocabulary.to_bytes().decode("utf-8").split("\n")[:-1]
        return {VOCABULARY_IDS: vocabulary_ids(words)}

    def _ids(self, rows: TokenRows, part: slice, length: int | None) -> np.ndarray:
        ids = rows.padded(part)
        return pad_ids(ids, length) if length else ids

    def labelled(self) -> Iterator[tuple[int, int, Example]]:
        """The sentences of the validation split."""
        split = self._dataset.val
        if not len(split):
            return
        expected = self.decide(self._score(self._encode(split.texts)))
        for label, chosen, text in zip(split.labels, expected, split.texts, strict=True):
            yield label, chosen, Example("val", text.encode())

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """See `Decision.chosen`."""
        return self.decision.chosen(probabilities)

    def _rows(self, examples: Sequence[Example]) -> TokenRows:
        return self._encode([example.data.decode("utf-8") for example in examples])
