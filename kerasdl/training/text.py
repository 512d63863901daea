"""The text job: one classifier, or several and their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from kerasdl.data.texts.batches import TextBatches
from kerasdl.errors import InputError
from kerasdl.models.text.attribution import word_effects
from kerasdl.reports.classification import confident_mistakes
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.text import Shown, report_comparison, report_text
from kerasdl.training.comparison import Comparison
from kerasdl.training.config import (
    check_positive,
    packaged_configs,
    read_config,
    split_list,
)
from kerasdl.training.distribution import shard
from kerasdl.training.job import Job, Objective
from kerasdl.training.progress import say
from kerasdl.training.text_corpus import (
    BATCH_SIGNATURE,
    EncodedSplit,
    TextCorpus,
    TextScorer,
)
from kerasdl.training.text_objective import build_classifier, training_loss
from kerasdl.training.text_pretraining import (
    STEPS_PER_CALL,
    check_pretraining,
    pretrain,
)
from kerasdl.training.workdir import Workdir

# What a model needs besides its config to answer for new text.
MODEL_FILES = ("vocab.txt", "labels.txt", "tokenizer.json", "model.keras")


class TextJob(Job):
    """A text classifier, its word vectors and LSTMs pretrained if the config says so."""

    name = "text"

    def build(self) -> Objective:
        """Reads and encodes the sentences, and builds the model."""
        config = self.config
        check_positive(config, "epochs")
        self.corpus = TextCorpus(config)
        classes = len(self.corpus.label_names)
        self.model, note = build_classifier(config, self.corpus.vocabulary, classes)
        check_pretraining(self.model, config)
        self.notes += [*self.corpus.notes, note]
        self.scorer = TextScorer(self.model)
        self.splits = self.corpus.splits
        train = self.splits["train"]
        batches = TextBatches(
            train.rows, train.labels, config.batch_size, config.seed, shard()
        )
        loss = training_loss(self.model, config)
        return Objective(
            self.model, loss, batches, len(batches), BATCH_SIGNATURE, STEPS_PER_CALL
        )

    def save(self, workdir: Workdir) -> None:
        """Writes vocab.txt, labels.txt and tokenizer.json."""
        self.corpus.save(workdir)

    def before_fit(self, workdir: Workdir) -> None:
        """Pretrains the model as language models."""
        pretraining = pretrain(self.model, self.corpus, self.config, workdir)
        self.seconds_before = pretraining.seconds
        if pretraining.note:
            self.notes.append(pretraining.note)
            say(pretraining.note)

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """Scores of every split.

        `bytes` is the size of model.keras, `sentences_per_second` the speed of scoring
        on this machine.
        """
        scores = super().score(outcome)
        return scores | {
            "bytes": (outcome.root / "model.keras").stat().st_size,
            "sentences_per_second": round(self.scorer.sentences_per_second),
        }

    def report(self, outcome: Outcome) -> Report:
        """Confusion, calibration, accuracy by length, what words do, curves."""
        corpus, count = self.corpus, self.config.report.samples
        name = next(n for n in ("test", "val", "train") if len(corpus.splits[n]))
        split = corpus.splits[name]
        probabilities = self.scorer.probabilities(split.rows)
        random = np.random.default_rng(self.config.seed)
        return report_text(
            outcome,
            name,
            corpus.label_names,
            split.labels,
            probabilities,
            split.rows.lengths,
            samples=self._show(
                split, random.permutation(len(split))[:count], probabilities
            ),
            mistakes=self._show(
                split,
                confident_mistakes(split.labels, probabilities, count),
                probabilities,
            ),
        )

    def _show(
        self, split: EncodedSplit, chosen: np.ndarray, probabilities: np.ndarray
    ) -> list[Shown]:
        """Sentences of the report with what each word does to the prediction."""
        if not len(chosen):
            return []
        corpus, ids = self.corpus, split.rows.padded(chosen)
        predictions = probabilities[chosen].argmax(axis=1)
        effects = word_effects(self.model, ids, predictions)
        lengths = split.rows.lengths[chosen]
        return [
            Shown(
                text=split.texts[index],
                tokens=[corpus.vocabulary.tokens[i] for i in ids[row, : lengths[row]]],
                effects=effects[row, : lengths[row]],
                label=corpus.label_names[split.labels[index]],
                prediction=corpus.label_names[predictions[row]],
                probability=float(probabilities[index].max()),
            )
            for row, index in enumerate(chosen)
        ]


class TextComparison(Comparison):
    """The models of `config.models` on the same data; the best one's files on top."""

    def __init__(self, config: ConfigDict) -> None:
        jobs = {
            name: TextJob(model_config(config, name)) for name in check_models(config)
        }
        super().__init__(config, jobs, "val/accuracy", MODEL_FILES)

    def report(self, outcome: Outcome) -> Report:
        """The table of the models."""
        return report_comparison(outcome)


def make_job(config: ConfigDict) -> Job:
    """One model, or several if the config names `models`."""
    return (TextComparison if "models" in config else TextJob)(config)


def check_models(config: ConfigDict) -> list[str]:
    """The names in `config.models`.

    Raises:
        InputError: One is no text config of the package, or there is none.
    """
    folder = "configs/text/"
    known = [
        Path(path).stem
        for path in packaged_configs()
        if path.startswith(folder) and Path(path).stem != "all"
    ]
    names = split_list(config.models)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(
            f"--config.models must be names of {', '.join(known)}, got {config.models!r}."
        )
    return list(dict.fromkeys(names))


def model_config(config: ConfigDict, name: str) -> ConfigDict:
    """The config of one model with the data, seed and epochs of `config`."""
    chosen = read_config(f"configs/text/{name}.py")
    chosen.data = config.data
    chosen.seed = config.seed
    chosen.precision = config.precision
    if config.epochs:
        chosen.epochs = config.epochs
    return chosen
