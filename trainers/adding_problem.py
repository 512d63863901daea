"""Trains an RNN and an LSTM on the adding problem and draws how they fare.

python -m kerasdl.trainers.adding_problem --workdir=runs/adding
"""

from absl import flags
from ml_collections import ConfigDict

from kerasdl.training import command
from kerasdl.training.config import check_choice, check_positive, define_flags
from kerasdl.training.workdir import Workdir, atomic_path, write_json

define_flags("configs/text/adding.py")


def main() -> None:
    """Runs the command."""
    config = flags.FLAGS.config
    names = [name.strip() for name in config.models.split(",") if name.strip()]
    for name in names or [""]:
        check_choice("models", name, ("rnn", "lstm"))
    check_positive(
        config, "epochs", "batches_per_epoch", "batch_size", "learning_rate", "units",
        "val_sequences",
    )  # fmt: skip

    workdir = Workdir(flags.FLAGS.workdir, "adding", config.to_dict())

    # It takes seconds: not before the arguments are known to be good.
    command.import_tensorflow()
    from kerasdl.reports.adding import report_adding
    from kerasdl.training.progress import say

    logs, metrics = {}, {}
    for name in names:
        loop = train(config, name, workdir.root / name)
        logs[name] = loop.log
        metrics[f"{name}/val/loss"] = loop.progress.best
        metrics[f"{name}/seconds"] = round(loop.progress.seconds, 1)
        metrics[f"{name}/parameters"] = loop.model.count_params()
    metrics["seed"] = config.seed
    metrics["seconds"] = sum(metrics[f"{name}/seconds"] for name in names)
    write_json(workdir / "metrics.json", metrics)
    report = report_adding(workdir, logs, metrics)
    for name, value in metrics.items():
        print(f"{name:20} {value}")
    say(f"report: {report}")


def train(config: ConfigDict, name: str, folder):
    """Trains one model in `folder` and returns its `TrainingLoop`."""
    import keras
    import numpy as np

    from kerasdl.data.drawn.adding import adding_batch
    from kerasdl.models.adding import build_adding_model
    from kerasdl.training.loop import TrainingLoop
    from kerasdl.training.schedules import cosine_decay
    from kerasdl.training.steps import make_train_step

    workdir = Workdir(folder, "adding", config.to_dict() | {"models": name})
    keras.utils.set_random_seed(config.seed)
    model = build_adding_model(
        name, config.steps, config.units, config.chrono, config.seed
    )
    optimizer = keras.optimizers.Adam(
        config.learning_rate, global_clipnorm=config.clip_norm or None
    )

    def mean_square(inputs, targets, training=True):
        return keras.ops.mean((model(inputs, training=training) - targets) ** 2)

    def batches(epoch):
        for step in range(config.batches_per_epoch):
            random = np.random.default_rng([config.seed, 1, epoch, step])
            yield adding_batch(random, config.batch_size, config.steps)

    held_out = adding_batch(
        np.random.default_rng([config.seed, 2]), config.val_sequences, config.steps
    )
    loop = TrainingLoop(
        workdir=workdir,
        model=model,
        optimizer=optimizer,
        train_step=make_train_step(model, optimizer, mean_square, jit_compile=True),
        batches=batches,
        steps_per_epoch=config.batches_per_epoch,
        epochs=config.epochs,
        schedule=cosine_decay(config.learning_rate, config.epochs),
        evaluate=lambda: {"val/loss": float(mean_square(*held_out, training=False))},
        monitor="val/loss",
    )
    loop.run()
    with atomic_path(workdir / "model.keras") as temporary:
        model.save(temporary)
    workdir.close()
    return loop


if __name__ == "__main__":
    command.run(main)
