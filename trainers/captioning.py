"""Trains an image captioner.

    python -m kerasdl.trainers.captioning --workdir=runs/captioning

With no `--config` it draws its own pictures and needs no network.
"""

from absl import flags

from kerasdl.training import command
from kerasdl.training.config import check_choice, check_positive, define_flags
from kerasdl.training.workdir import Workdir, atomic_path, write_json

define_flags("configs/captioning/default.py")


def main() -> None:
    """Runs the command."""
    config = flags.FLAGS.config
    check_choice("model.rnn", config.model.rnn, ("lstm", "rnn"))
    check_choice("schedule", config.schedule, ("cosine", "exponential"))
    check_positive(config, "epochs", "batch_size", "learning_rate", "data.max_words")

    workdir = Workdir(flags.FLAGS.workdir, "captioning", config.to_dict())

    # It takes seconds: not before the arguments are known to be good.
    command.import_tensorflow()
    import keras

    from kerasdl.reports.captioning import report_captioning
    from kerasdl.training import captioning, schedules
    from kerasdl.training.loop import TrainingLoop
    from kerasdl.training.progress import say
    from kerasdl.training.steps import make_train_step

    keras.utils.set_random_seed(config.seed)

    dataset = captioning.load_dataset(config)
    for note in dataset.notes:
        say(note)
    vocabulary = captioning.build_vocabulary(dataset.train, config)
    vocabulary.save(workdir / "vocab.txt")
    captioner = captioning.build_captioner(config, len(vocabulary))
    decoder = captioner.decoder

    extractor = captioning.FeatureExtractor(captioner, config.data.cache)
    splits = {
        name: extractor.split(getattr(dataset, name), name)
        for name in ("train", "val", "test")
    }
    decoder.adapt(splits["train"].features)

    batches = captioning.CaptionBatches(splits["train"], vocabulary, config)
    optimizer = captioning.make_optimizer(config)
    if config.schedule == "cosine":
        schedule = schedules.cosine_decay(config.learning_rate, config.epochs)
    else:
        schedule = schedules.exponential_decay(config.learning_rate, config.rate_decay)
    scorer = captioning.CaptionScorer(decoder, vocabulary, config.decode.to_dict())
    loop = TrainingLoop(
        workdir=workdir,
        model=decoder,
        optimizer=optimizer,
        train_step=make_train_step(
            decoder,
            optimizer,
            captioning.caption_loss(decoder),
            input_signature=list(batches.signature),
        ),
        batches=batches,
        steps_per_epoch=len(batches),
        epochs=config.epochs,
        schedule=schedule,
        evaluate=lambda: scorer.scores(splits["val"], "val"),
        monitor=config.monitor if splits["val"].pictures else "train/loss",
        patience=config.patience,
    )
    progress = loop.run()
    with atomic_path(workdir / "model.keras") as temporary:
        captioner.save(temporary)

    splits["train"] = splits["train"].first(config.report.train_pictures)
    metrics = {}
    for name, split in splits.items():
        metrics |= scorer.scores(split, name)
    metrics |= {
        "train/loss": loop.log.rows[progress.best_epoch - 1]["train/loss"],
        "best_epoch": progress.best_epoch,
        "seconds": round(progress.seconds, 1),
        "seed": config.seed,
        "parameters": captioner.count_params(),
    }
    write_json(workdir / "metrics.json", metrics)
    report = report_captioning(
        workdir, splits, scorer, loop, metrics, [*dataset.notes, *extractor.broken.notes]
    )
    for name, value in metrics.items():
        print(
            f"{name:20} {value:.4f}" if isinstance(value, float) else f"{name:20} {value}"
        )
    say(f"report: {report}")


if __name__ == "__main__":
    command.run(main)
