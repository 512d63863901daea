"""Trains a text classifier, or several and the table that compares them.

    python -m kerasdl.trainers.text_classification --workdir=runs/text
    python -m kerasdl.trainers.text_classification --config=configs/text/all.py \
        --config.data.root=FOLDER --workdir=runs/sentiment
    python -m kerasdl.trainers.text_classification --workdir=runs/sentiment --predict=FILE

With no `--config` it learns from generated sentences and needs no network. `--predict`
prints a label for each line of FILE and writes them to predictions.txt in the workdir; a
run that has finished needs no `--config` for it.
"""

import contextlib
import sys
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from kerasdl.training import command
from kerasdl.training.config import check_choice, check_positive, define_flags
from kerasdl.training.workdir import Workdir, write_json

define_flags("configs/text/default.py")
flags.DEFINE_string("predict", "", "A file of unlabelled sentences, one a line.")


def main() -> None:
    """Runs the command."""
    config, predict = flags.FLAGS.config, flags.FLAGS.predict
    workdir = Path(flags.FLAGS.workdir)
    has_config = any(a.lstrip("-").startswith("config") for a in sys.orig_argv)
    # Only the labels go to standard output where they are asked for.
    with contextlib.redirect_stdout(sys.stderr if predict else sys.stdout):
        if not predict or has_config or not (workdir / "metrics.json").is_file():
            if "models" in config:
                train_all(config)
            else:
                train_one(config, workdir)
    if predict:
        command.import_tensorflow()
        from kerasdl.prediction.sentences import predict_file

        predict_file(workdir, Path(predict), config.data.skip_bad_lines)


def train_all(config: ConfigDict) -> None:
    """Trains each model of `config.models` in a folder of its own, then compares them."""
    from kerasdl.training.text_comparison import check_models, keep_best, model_config

    names = check_models(config)
    workdir = Workdir(flags.FLAGS.workdir, "text", config.to_dict())
    command.import_tensorflow()
    from kerasdl.reports.text_comparison import report_comparison

    runs = {n: train_one(model_config(config, n), workdir.root / n) for n in names}
    metrics = {f"{n}/{key}": value for n in names for key, value in runs[n].items()}
    metrics |= keep_best(workdir, runs)
    metrics |= {"seconds": sum(r["seconds"] for r in runs.values()), "seed": config.seed}
    write_json(workdir / "metrics.json", metrics)
    report_comparison(workdir, runs, metrics)


def train_one(config: ConfigDict, folder: Path) -> dict:
    """Trains the model of `config.model` in `folder` and returns its final metrics."""
    check_choice("schedule", config.schedule, ("cosine", "exponential"))
    check_choice("data.tokenizer", config.data.tokenizer, ("whitespace", "text"))
    check_positive(
        config, "epochs", "batch_size", "learning_rate", "data.max_tokens",
        "data.min_count",
    )  # fmt: skip

    workdir = Workdir(folder, "text", config.to_dict())

    # It takes seconds: not before the arguments are known to be good.
    command.import_tensorflow()
    import keras

    from kerasdl.data.texts.batches import TextBatches
    from kerasdl.reports.text import report_text
    from kerasdl.training import schedules, text
    from kerasdl.training.loop import TrainingLoop
    from kerasdl.training.progress import say
    from kerasdl.training.text_pretraining import pretrain

    keras.utils.set_random_seed(config.seed)

    corpus = text.TextCorpus(config)
    train, val = corpus.splits["train"], corpus.splits["val"]
    model, vectors_note = text.build_classifier(
        config, corpus.vocabulary, len(corpus.label_names)
    )
    for note in (*corpus.notes, vectors_note):
        say(note)
    corpus.save(workdir)
    notes = [*corpus.notes, vectors_note]
    pretraining = pretrain(model, corpus, config, workdir)
    if pretraining.note:
        notes.append(pretraining.note)
        say(pretraining.note)

    batches = TextBatches(train.rows, train.labels, config.batch_size, config.seed)
    optimizer = text.make_optimizer(config)
    if config.schedule == "cosine":
        schedule = schedules.cosine_decay(
            config.learning_rate, config.epochs, config.warmup
        )
    else:
        schedule = schedules.exponential_decay(config.learning_rate, config.rate_decay)
    scorer = text.TextScorer(model)
    loop = TrainingLoop(
        workdir=workdir,
        model=model,
        optimizer=optimizer,
        train_step=text.make_steps(model, optimizer, config),
        batches=batches,
        steps_per_epoch=len(batches),
        epochs=config.epochs,
        schedule=schedule,
        evaluate=lambda: scorer.scores(val, "val"),
        monitor=config.monitor if len(val) else "train/loss",
        patience=config.patience,
    )
    loop.run()
    metrics = text.finish(workdir, corpus, scorer, loop, pretraining.seconds)
    report = report_text(workdir, corpus, scorer, loop, metrics, notes)
    for name, value in metrics.items():
        print(
            f"{name:24} {value:.4f}" if isinstance(value, float) else f"{name:24} {value}"
        )
    say(f"report: {report}")
    workdir.close()
    return metrics


if __name__ == "__main__":
    command.run(main)
