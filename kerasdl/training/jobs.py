"""The table of jobs: their configs, the allowed values, and the modules of their code.

Nothing here imports TensorFlow: a command reads this table before anything heavy. A new
job is a module with a `make_job(config)`, its config, and an entry in `JOBS`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from kerasdl.errors import InputError
from kerasdl.runs import flatten
from kerasdl.style.options import (
    METHODS,
    OUTPUT_FORMATS,
    NetworkOptions,
    StyleOptions,
    VideoOptions,
)
from kerasdl.training.config import (
    check_choice,
    check_numbers,
    nearest,
    override,
    read_config,
    split_list,
)
from kerasdl.training.distribution import STRATEGIES

if TYPE_CHECKING:
    from kerasdl.training.job import Job

# Of training steps; kerasdl.training.precision says what they are.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_LOSSES = ("train/loss", "val/loss")
_CLASSIFICATION = (*_LOSSES, "val/accuracy", "val/f1_macro", "val/ece")
_MICRO, _ORDINAL = "val/f1_micro", ("val/mae", "val/kappa")
_PICTURES = (*_CLASSIFICATION, _MICRO, *_ORDINAL)
_CAPTIONS = tuple(
    f"val/{name}"
    for name in (
        "bleu1_single", "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider",
    )
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class JobSpec:
    """What is known of a job before its code is imported.

    Attributes:
        name: As config.json holds it.
        module: Its `make_job(config)` returns the `Job`.
        configs: Config files that declare all of its fields; the first is its default.
        choices: The values that a text field may have; of a field of several, each part.
        positive: Fields that are greater than zero.
        not_negative: Fields that are not less than zero.
        shares: Fields in [0, 1).
        check_more: What else is checked of a config.
    """

    name: str
    module: str
    configs: Sequence[str]
    choices: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    positive: Sequence[str] = ()
    not_negative: Sequence[str] = ()
    shares: Sequence[str] = ()
    check_more: Callable[[ConfigDict], object] | None = None

    def complete(self, config: ConfigDict) -> ConfigDict | None:
        """A config with the fields that it lacks at their defaults.

        None if it has a field that this job does not know.
        """
        given = flatten(config.to_dict())
        for path in self.configs:
            default = read_config(path)
            if given.keys() <= flatten(default.to_dict()).keys():
                return override(default, given)
        return None

    def check(self, config: ConfigDict) -> None:
        """Checks a config's fields and their values.

        Raises:
            InputError: Naming the first field that is missing, unknown or out of range.
        """
        flat = flatten(config.to_dict())
        declared = min(_declared(self.configs), key=lambda d: len(d.keys() ^ flat.keys()))
        for name in sorted(declared.keys() ^ flat.keys()):
            if name in flat:
                raise InputError(
                    f"--config.{name} is no field of the {self.name} job"
                    f"{nearest(name, declared)}."
                )
            raise InputError(f"the config of a {self.name} job lacks the field {name!r}.")
        check_numbers(config)
        for name, choices in self.choices.items():
            if name in flat:
                parts = split_list(flat[name]) if name == "models" else [flat[name]]
                for part in parts or [""]:
                    check_choice(name, part, choices)
        for names, holds, rule in (
            (self.positive, lambda value: value > 0, "be positive"),
            (self.not_negative, lambda value: value >= 0, "not be negative"),
            (self.shares, lambda value: 0 <= value < 1, "be at least 0 and less than 1"),
        ):
            for name in names:
                if name in flat and not holds(flat[name]):
                    raise InputError(f"--config.{name} must {rule}, got {flat[name]!r}.")
        several = flat.get("distribute", "none")
        if several != "none" and flat["precision"] == "mixed_float16":
            raise InputError(
                "--config.precision must be float32 or mixed_bfloat16 on several "
                "replicas (scaling the loss was not tried there), got 'mixed_float16' "
                f"with --config.distribute={several}."
            )
        if self.check_more is not None:
            self.check_more(config)

    def make(self, config: ConfigDict) -> Job:
        """The job of a config that was checked; imports TensorFlow."""
        return importlib.import_module(self.module).make_job(config)


@functools.cache
def _declared(configs: Sequence[str]) -> list[dict]:
    return [flatten(read_config(path).to_dict()) for path in configs]


def style_options(config: ConfigDict) -> StyleOptions:
    """The options among the fields of a style config.

    Raises:
        InputError: One is out of range.
    """
    NetworkOptions(**config.network.to_dict())
    VideoOptions(**config.video.to_dict())
    names = [field.name for field in dataclasses.fields(StyleOptions)]
    return StyleOptions(**{name: config[name] for name in names})


def _check_sequence(config: ConfigDict) -> None:
    steps = config.steps
    if steps < 3:
        raise InputError(f"--config.steps must be 3 or more, got {steps}.")
    if config.task == "pixels" and math.isqrt(steps) ** 2 != steps:
        raise InputError(
            "--config.steps must be a square number, the pixels of a square picture, if "
            f"--config.task is pixels, got {steps}."
        )
    if config.alphabet < 2:
        raise InputError(
            f"--config.alphabet must be 2 symbols or more, got {config.alphabet}."
        )


def _check_transfer(config: ConfigDict) -> None:
    """Checks fields of a transfer config that depend on each other.

    Raises:
        InputError: Two of them do not go together.
    """
    whole, stepped = config.mode == "finetune", config.mode in ("finetune", "freeze")
    single = config.distribute == "none"
    cached = config.mode == "freeze" and config.cache_features
    single_label = config.target != "multi_label"
    balanced, ordinal = config.class_weights != "none", config.target == "ordinal"
    augment = config.augment
    for name, on, fits, rule in (
        ("unfreeze_every", config.unfreeze_every, whole, "0 unless mode is finetune"),
        ("layer_decay", config.layer_decay != 1, whole, "1 unless mode is finetune"),
        ("linear_start", config.linear_start, whole, "false unless mode is finetune"),
        ("lr_find", config.lr_find != "none", stepped, "none if no steps are taken"),
        ("ema", config.ema, stepped, "0 if no steps are taken"),
        ("augment.mixup", augment.mixup, stepped and not cached, _UNCACHED),
        ("augment.cutmix", augment.cutmix, stepped and not cached, _UNCACHED),
        ("class_weights", balanced, single_label, "none if target is multi_label"),
        ("mode", config.mode == "prototype", single_label, "another, of several labels"),
        ("monitor", config.monitor in _ORDINAL, ordinal, _UNORDERED),
        ("monitor", config.monitor == _MICRO, not single_label, "another of one label"),
        ("ema", config.ema, single, "0 on several replicas"),
        (
            "calibration",
            config.calibration == "folds",
            single,
            "none or val on several replicas",
        ),
    ):
        if on and not fits:
            given = flatten(config.to_dict())[name]
            raise InputError(f"--config.{name} must be {rule}, got {given!r}.")
    if config.calibration_folds < 2:
        raise InputError(
            "--config.calibration_folds must be at least 2, got "
            f"{config.calibration_folds}."
        )


_UNORDERED = "another unless target is ordinal"
_UNCACHED = "0 where the head sees cached features"
_COMMON = ("epochs", "batch_size", "learning_rate")

JOBS = {
    spec.name: spec
    for spec in (
        JobSpec(
            "captioning",
            "kerasdl.training.captioning",
            ("configs/captioning/default.py",),
            choices={
                "model.rnn": ("lstm", "gru", "rnn"),
                "model.attention_score": ("dot", "additive"),
                "model.features_in": ("h_0", "every_step", "both"),
                "model.h_0_activation": ("linear", "relu", "tanh"),
                "model.input_activation": ("linear", "relu", "tanh"),
                "distribute": STRATEGIES,
                "precision": PRECISIONS,
                "schedule": ("cosine", "exponential"),
                "monitor": ("train/loss", *_CAPTIONS),
            },
            positive=(
                *_COMMON, "data.max_words", "model.image_size", "model.units",
                "model.embedding_dim", "model.feature_scale", "decode.max_length",
                "decode.beam_size", "rate_decay", "data.drawn_train", "data.views",
                "model.layers", "model.members", "decode.temperature", "decode.top_p",
                "self_critical.learning_rate",
            ),
            not_negative=(
                "self_critical.epochs", "decode.length_penalty", "decode.no_repeat_ngram",
                "decode.samples", "decode.neighbours", "decode.n_best",
                "model.components", "model.input_units",
                "decode.likelihood_weight", "decode.top_k", "decode.consensus_weight",
                "data.drawn_val", "data.drawn_test", "data.train_pictures", "patience",
                "data.captions_per_picture", "data.min_count", "model.grid",
                "weight_decay", "clip_norm", "report.samples", "report.train_pictures",
                "report.attended",
            ),
            shares=(
                "model.dropout", "model.feature_dropout", "label_smoothing",
                "scheduled_sampling",
            ),
        ),
        JobSpec(
            "transfer",
            "kerasdl.training.transfer",
            ("configs/transfer/default.py",),
            choices={
                "mode": ("finetune", "freeze", "linear", "prototype"),
                "target": ("classes", "multi_label", "ordinal"),
                "calibration": ("none", "folds", "val"),
                "lr_find": ("none", "report", "use"),
                "distribute": STRATEGIES,
                "precision": PRECISIONS,
                "optimizer": ("adamw", "sgd"),
                "schedule": ("cosine", "step", "one_cycle"),
                "class_weights": ("none", "balanced"),
                "data.preparation": ("crop", "squash"),
                "monitor": _PICTURES,
            },
            positive=(
                *_COMMON, "augment.variants", "rate_decay", "decay_every",
                "data.drawn_train", "layer_decay",
            ),
            not_negative=(
                "data.drawn_val", "data.drawn_test", "warmup", "weight_decay",
                "clip_norm", "probe_steps", "patience", "model.image_size",
                "report.samples", "report.mistakes", "report.maps", "unfreeze_every",
                "augment.rand_operations", "augment.rand_strength", "augment.mixup",
                "augment.cutmix",
            ),
            shares=(
                "model.dropout", "label_smoothing", "momentum", "data.val_share", "ema",
            ),
            check_more=_check_transfer,
        ),
        JobSpec(
            "text",
            "kerasdl.training.text",
            ("configs/text/default.py", "configs/text/all.py"),
            choices={
                "schedule": ("cosine", "exponential"),
                "data.tokenizer": ("whitespace", "text"),
                "distribute": STRATEGIES,
                "precision": PRECISIONS,
                "model.vectors": ("random", "glove"),
                "calibration.thresholds": ("none", "accuracy", "f1"),
                "monitor": _CLASSIFICATION,
            },
            positive=(
                "batch_size", "learning_rate", "data.max_tokens", "data.min_count",
                "rate_decay", "pretraining.learning_rate", "data.generated_train",
            ),
            not_negative=(
                "epochs", "warmup", "weight_decay", "clip_norm", "adversarial",
                "patience", "pretraining.epochs", "data.max_words",
                "data.generated_val", "data.generated_test", "report.samples",
                "data.shots", "noise_seeds", "max_megabytes",
                "autotune_minutes",
            ),
            shares=(
                "label_smoothing", "model.word_dropout", "model.dropout",
                "model.recurrent_dropout", "model.head_dropout", "pretraining.dropout",
            ),
        ),
        JobSpec(
            "style",
            "kerasdl.training.style",
            ("configs/style/default.py",),
            choices={"method": METHODS, "format": OUTPUT_FORMATS},
            positive=("every",),
            not_negative=("progress",),
            check_more=style_options,
        ),
        JobSpec(
            "sequence",
            "kerasdl.training.sequence",
            ("configs/sequence/default.py",),
            choices={
                "task": ("adding", "copying", "pixels"),
                "models": (
                    "rnn", "lstm", "lstm_forget", "lstm_chrono", "gru", "gru_forget",
                    "gru_chrono",
                ),
                "precision": PRECISIONS,
            },
            positive=(
                *_COMMON, "batches_per_epoch", "units", "symbols", "val_sequences",
            ),
            not_negative=("clip_norm",),
            check_more=_check_sequence,
        ),
    )
}  # fmt: skip


def find_job(config: ConfigDict) -> tuple[JobSpec, ConfigDict]:
    """The job that a config is of, by its fields, and the config with all of them.

    Raises:
        InputError: It fits no job, or several.
    """
    fitting = [
        (spec, complete)
        for spec in JOBS.values()
        if (complete := spec.complete(config)) is not None
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(spec.name for spec, _ in fitting) or ", ".join(JOBS)
    rule = "fits several jobs" if fitting else "has fields of no job"
    raise InputError(
        f"the config {rule} ({names}): start from a config file, such as "
        f"{JOBS['captioning'].configs[0]}; got the fields "
        f"{', '.join(flatten(config.to_dict()))}."
    )
