"""The text job: one classifier, or several and their comparison."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from kerasdl.data.texts.batches import TextBatches
from kerasdl.errors import InputError
from kerasdl.files import write_text
from kerasdl.models.text.attribution import word_effects
from kerasdl.reports.page import Outcome, Report
from kerasdl.reports.text import (
    NO_LABEL,
    Shown,
    noise_section,
    report_comparison,
    report_text,
    surest_mistakes,
)
from kerasdl.training.calibration import fit_temperature, fit_thresholds
from kerasdl.training.comparison import Comparison
from kerasdl.training.config import (
    check_positive,
    override,
    packaged_configs,
    read_config,
    split_list,
)
from kerasdl.training.distribution import shard
from kerasdl.training.job import Job, Objective, prepare
from kerasdl.training.progress import say
from kerasdl.training.text_corpus import (
    BATCH_SIGNATURE,
    MULTI_LABEL_SIGNATURE,
    EncodedSplit,
    TextCorpus,
    TextScorer,
    tokens_of_each,
)
from kerasdl.training.text_objective import (
    build_classifier,
    fitting_parts,
    training_loss,
)
from kerasdl.training.text_pretraining import (
    STEPS_PER_CALL,
    check_pretraining,
    pretrain,
)
from kerasdl.training.workdir import Workdir

# Validation sentences whose labels models of several seeds contradict.
NOISE = "label_noise.csv"
# What a model needs besides its config to answer for new text.
MODEL_FILES = ("vocab.txt", "labels.txt", "tokenizer.json", "model.keras")


class TextJob(Job):
    """A text classifier, its word vectors and LSTMs pretrained if the config says so."""

    name = "text"
    # The calibration error before calibration; None without one.
    uncalibrated: float | None = None
    # The accuracy before word vectors were quantised; None if they were not.
    unquantised: float | None = None
    # What `build` reads, unless it is given: models of other seeds share it.
    corpus: TextCorpus | None = None
    # Validation sentences that models of all seeds contradict alike, int (M,).
    contradicted: np.ndarray | None = None

    def build(self) -> Objective:
        """Reads and encodes the sentences, and builds the model."""
        config = self.config
        check_positive(config, "epochs")
        if self.corpus is None:
            self.corpus = TextCorpus(config)
        if config.noise_seeds and not len(self.corpus.splits["val"]):
            raise InputError(
                "--config.noise_seeds must be 0 without a validation split, got "
                f"{config.noise_seeds}."
            )
        classes = len(self.corpus.label_names)
        self.model, note = build_classifier(config, self.corpus.vocabulary, classes)
        check_pretraining(self.model, config)
        self.parts = fitting_parts(
            self.model, self.corpus.vocabulary, config.max_megabytes
        )
        self.notes += [*self.corpus.notes, note]
        self.scorer = TextScorer(self.model)
        self.splits = self.corpus.splits
        train = self.splits["train"]
        batches = TextBatches(
            train.rows, train.labels, config.batch_size, config.seed, shard()
        )
        loss = training_loss(self.model, config)
        signature = MULTI_LABEL_SIGNATURE if config.data.multi_label else BATCH_SIGNATURE
        self._check_calibration()
        return Objective(
            self.model, loss, batches, len(batches), signature, STEPS_PER_CALL
        )

    def _check_calibration(self) -> None:
        """Checks that a temperature and thresholds can be fitted, if they are to be."""
        fields, classes = self.config.calibration, len(self.corpus.label_names)
        wanted = fields.temperature or fields.thresholds != "none"
        if wanted and not len(self.splits["val"]):
            raise InputError(
                "--config.calibration needs a validation split to be fitted on, got "
                f"{self.config.data.root!r} without."
            )
        if fields.thresholds != "none" and classes > 2 and not self.model.multi_label:
            raise InputError(
                "--config.calibration.thresholds must be none for more than two classes "
                f"of which a text has one, got {fields.thresholds!r} for {classes}."
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

    def fit(self, workdir: Workdir, objective: Objective) -> Outcome:
        """Trains the model, then fits temperature and thresholds on the validation split.

        The model keeps both, so that its file and all exports answer with them.
        """
        outcome = super().fit(workdir, objective)
        if self.parts:
            before = self.scorer.scores(self.splits["val"], "val").get("val/accuracy")
            self.model = self.model.quantised(self.parts, self.config.seed)
            self.scorer = TextScorer(self.model)
            self.unquantised = before
            self.notes.append(
                f"Word vectors are kept in {self.parts} bytes each, for "
                f"--config.max_megabytes={self.config.max_megabytes}."
            )
        fields, decision = self.config.calibration, self.model.decision
        if fields.temperature or fields.thresholds != "none":
            val = self.splits["val"]
            self.uncalibrated = self.scorer.scores(val, "val")["val/ece"]
            logits, temperature = self.scorer.logits(val.rows), 1.0
            if fields.temperature:
                temperature = fit_temperature(logits, val.labels)
            self.model.calibrate(temperature, decision)
            if fields.thresholds != "none":
                probabilities = self.scorer.probabilities(val.rows)
                found = fit_thresholds(probabilities, val.labels, fields.thresholds)
                decision = dataclasses.replace(decision, thresholds=tuple(found))
            self.model.calibrate(temperature, decision)
            self.notes.append(
                "Temperature and thresholds were fitted on the validation split, whose "
                "figures they flatter."
            )
        if self.config.noise_seeds:
            self.contradicted = self._contradicted(workdir)
        return outcome

    def _contradicted(self, workdir: Workdir) -> np.ndarray:
        """Trains models of further seeds; what all of them contradict alike, int (M,)."""
        val, seed = self.splits["val"], self.config.seed
        answers = [self.model.decision.chosen(self.scorer.probabilities(val.rows))]
        for other in range(seed + 1, seed + 1 + self.config.noise_seeds):
            job = TextJob(override(self.config, {"seed": other, "noise_seeds": 0}))
            job.corpus, job.label = self.corpus, f"seed {other}"
            objective = prepare(job)
            folder = workdir.root / "seeds" / str(other)
            with Workdir(folder, self.name, job.config.to_dict()) as own:
                own.create()
                job.before_fit(own)
                job.fit(own, objective)
            answers.append(job.model.decision.chosen(job.scorer.probabilities(val.rows)))
        alike = np.all([answer == answers[0] for answer in answers], axis=0)
        wrong = answers[0] != val.labels
        if wrong.ndim == 2:
            alike, wrong = alike.all(axis=1), wrong.any(axis=1)
        found = np.flatnonzero(alike & wrong)
        names, decision = self.corpus.label_names, self.model.decision
        rows = [
            [
                str(index + 1),
                decision.name(names, val.labels[index]),
                decision.name(names, answers[0][index]),
                val.texts[index],
            ]
            for index in found
        ]
        with io.StringIO() as table:
            header = ["sentence", "label", "told", "text"]
            csv.writer(table, lineterminator="\n").writerows([header, *rows])
            write_text(workdir / NOISE, table.getvalue())
        return found

    def score(self, outcome: Outcome) -> dict[str, Any]:
        """Scores of every split.

        `bytes` is the size of model.keras, `sentences_per_second` the speed of scoring
        on this machine; `temperature` and `threshold` (of the second of two classes) are
        the fitted ones, `val/ece_uncalibrated` the calibration error before.
        """
        scores = super().score(outcome)
        if self.unquantised is not None:
            scores["val/accuracy_unquantised"] = self.unquantised
        if self.contradicted is not None:
            scores["val/contradicted"] = len(self.contradicted)
        if self.uncalibrated is not None:
            scores["val/ece_uncalibrated"] = self.uncalibrated
            scores["temperature"] = self.model.temperature
            if self.model.decision.thresholds and not self.model.multi_label:
                scores["threshold"] = self.model.decision.thresholds[1]
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
        decision = self.model.decision
        chosen = decision.chosen(probabilities)
        mistakes = surest_mistakes(split.labels, probabilities, chosen, count)
        random = np.random.default_rng(self.config.seed)
        noise = []
        if self.contradicted is not None:
            val = corpus.splits["val"]
            shown = self._show(
                val, self.contradicted[:count], self.scorer.probabilities(val.rows)
            )
            total = len(self.contradicted)
            noise = [noise_section(shown, total, len(val), self.config.noise_seeds + 1)]
        page = report_text(
            outcome,
            name,
            corpus.label_names,
            split.labels,
            probabilities,
            decision,
            split.rows.tokens,
            samples=self._show(
                split, random.permutation(len(split))[:count], probabilities
            ),
            mistakes=self._show(split, mistakes, probabilities),
        )
        return dataclasses.replace(page, sections=[*page.sections, *noise])

    def _show(
        self, split: EncodedSplit, chosen: np.ndarray, probabilities: np.ndarray
    ) -> list[Shown]:
        """Sentences of the report with what each word does to the prediction."""
        if not len(chosen):
            return []
        corpus, ids = self.corpus, split.rows.padded(chosen)
        decision, names = self.model.decision, corpus.label_names
        # Of several labels the most probable one is explained.
        explained = probabilities[chosen].argmax(axis=1)
        if not decision.multi_label:
            explained = decision.chosen(probabilities[chosen])
        effects = word_effects(self.model, ids, explained)
        predictions = decision.names(names, probabilities[chosen])
        tokens = tokens_of_each([split.texts[i] for i in chosen], corpus)
        return [
            Shown(
                text=split.texts[index],
                tokens=tokens[row],
                effects=split.rows.by_token(index, effects[row]),
                label=decision.name(names, split.labels[index]) or NO_LABEL,
                prediction=predictions[row] or NO_LABEL,
                probability=float(probabilities[index, explained[row]]),
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
    """One model, several if the config names `models`, or a search of its settings."""
    if config.get("autotune_minutes", 0):
        from kerasdl.training.text_search import TextSearch  # which is made of these jobs

        return TextSearch(config)
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
