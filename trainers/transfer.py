"""Trains a picture classifier on a pretrained network.

    python -m kerasdl.trainers.transfer --workdir=runs/transfer --config.data.root=FOLDER

FOLDER holds a folder a class, or `train/` and `val/` of such folders. With no `--config`
it draws its own pictures and needs no network.
"""

import time

from absl import flags

from kerasdl.training import command
from kerasdl.training.config import check_choice, check_positive, define_flags
from kerasdl.training.workdir import Workdir, atomic_path, write_json, write_text

define_flags("configs/transfer/default.py")


def main() -> None:
    """Runs the command."""
    config = flags.FLAGS.config
    check_choice("mode", config.mode, ("finetune", "freeze"))
    check_choice("optimizer", config.optimizer, ("adamw", "sgd"))
    check_choice("schedule", config.schedule, ("cosine", "step"))
    check_choice("class_weights", config.class_weights, ("none", "balanced"))
    check_choice("data.preparation", config.data.preparation, ("crop", "squash"))
    check_positive(config, "epochs", "batch_size", "learning_rate", "augment.variants")
    cached = config.mode == "freeze" and config.cache_features

    command.import_tensorflow()
    import keras
    import tensorflow as tf

    from kerasdl.data.pictures.batches import FeatureBatches, PictureBatches
    from kerasdl.data.pictures.class_folders import SPLITS
    from kerasdl.models.classifier import HEAD, image_size
    from kerasdl.reports.transfer import TransferRun, other_runs, report_transfer
    from kerasdl.training import transfer
    from kerasdl.training.loop import TrainingLoop
    from kerasdl.training.progress import say
    from kerasdl.training.steps import make_train_step

    # A wrong folder is to leave no workdir behind that a right one then does not fit.
    others = other_runs(config.report.compare)
    dataset = transfer.load_dataset(config)
    workdir = Workdir(flags.FLAGS.workdir, "transfer", config.to_dict())
    keras.utils.set_random_seed(config.seed)
    for note in dataset.notes:
        say(note)
    classifier = transfer.build_model(config, len(dataset.class_names))
    write_text(workdir / "labels.txt", "\n".join((*dataset.class_names, "")))

    started = time.monotonic()
    reader = transfer.SplitReader(classifier, config)
    splits = {name: reader.read(getattr(dataset, name), name, cached) for name in SPLITS}
    augmentation = transfer.make_augmentation(config, image_size(classifier))
    labels = splits["train"].pictures.labels
    weights = transfer.class_weights(
        labels, len(dataset.class_names), config.class_weights
    )
    views = config.augment.variants if config.mode == "freeze" else 0
    if cached:
        model = classifier.get_layer(HEAD)
        features = reader.variants(splits["train"], augmentation, config.seed, views)
        batches = FeatureBatches(features, labels, config.batch_size, config.seed)
        inputs = tf.TensorSpec((None, features.shape[-1]), tf.float32)
        loss = transfer.head_loss(classifier, weights, config.label_smoothing)
    else:
        model = classifier
        pictures, size = splits["train"].pictures, image_size(classifier)
        batches = PictureBatches(
            pictures, augmentation, config.batch_size, config.seed, views
        )
        inputs = tf.TensorSpec((None, size, size, 3), tf.uint8)
        loss = transfer.picture_loss(
            classifier, weights, config.label_smoothing, config.model.update_batch_norm
        )
    scorer = transfer.Scorer(classifier, config.data.preparation)
    before = scorer.scores(splits["val"], "val") | scorer.scores(splits["test"], "test")
    if config.mode == "finetune" and config.probe_steps:
        probed = reader.read(dataset.train, "train", with_features=True)
        transfer.fit_head(classifier, probed, weights, config.probe_steps)
    prepared = time.monotonic() - started

    optimizer = transfer.make_optimizer(config)
    loop = TrainingLoop(
        workdir=workdir,
        model=model,
        optimizer=optimizer,
        train_step=make_train_step(
            model, optimizer, loss, [inputs, tf.TensorSpec((None,), tf.int32)]
        ),
        batches=batches,
        steps_per_epoch=len(batches),
        epochs=config.epochs,
        schedule=transfer.make_schedule(config),
        evaluate=lambda: scorer.scores(splits["val"], "val"),
        monitor=config.monitor if len(splits["val"]) else "train/loss",
        patience=config.patience,
    )
    loop.run()
    with atomic_path(workdir / "model.keras") as temporary:
        classifier.save(temporary)

    run = TransferRun(workdir, dataset, splits, scorer, classifier, loop, reader.broken)
    metrics = run.metrics(before, prepared)
    write_json(workdir / "metrics.json", metrics)
    report = report_transfer(run, metrics, others)
    for name, value in metrics.items():
        print(
            f"{name:26} {value:.4f}" if isinstance(value, float) else f"{name:26} {value}"
        )
    say(f"report: {report}")


if __name__ == "__main__":
    command.run(main)
