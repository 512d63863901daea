"""Cross-validates a transfer config inside its training pictures; none other is read.

    python -m benchmarks.transfer_folds --root=FOLDER \
        --config=configs/transfer/hymenoptera_freeze_best.py --seeds=0,1 ema=0.9

Every picture is answered by a model that did not see it, after its last epoch: nothing is
chosen on the pictures that are scored. FIELD=VALUE changes a field of the config. Printed
are accuracy, mean negative log-likelihood in nats and expected calibration error; the
last two also after temperature scaling, each fold by the temperature that fits the
others. With model.mirrored=true, accuracy and nats without the mirror images are printed
too.
"""

import argparse
import json
import os
import statistics
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def scores(held) -> dict[str, float]:
    """The figures of held-out answers."""
    from kerasdl.metrics.classification import classification_scores
    from kerasdl.training.calibration import fit_temperature, scaled_probabilities

    labels, raw = held.labels, scaled_probabilities(held.logits)
    scaled = np.empty_like(raw)
    for number in np.unique(held.folds):
        own = held.folds == number
        temperature = fit_temperature(held.logits[~own], labels[~own], cautious=True)
        scaled[own] = scaled_probabilities(held.logits[own], temperature)
    before = classification_scores(labels, raw)
    after = classification_scores(labels, scaled)
    single = {}
    if held.logits.shape[1] > 1:
        one = classification_scores(labels, scaled_probabilities(held.logits[:, :1]))
        single = {"accuracy_one_view": one["accuracy"], "nats_one_view": one["loss"]}
    return {
        "accuracy": before["accuracy"],
        "nats": before["loss"],
        "ece": before["ece"],
        "nats_scaled": after["loss"],
        "ece_scaled": after["ece"],
        "temperature": fit_temperature(held.logits, labels, cautious=True),
        **single,
    }


def cross_validate(path: str, fields: dict[str, str], folds: int) -> dict[str, float]:
    """The figures of a config with other fields."""
    from kerasdl.training import transfer_folds
    from kerasdl.training.config import override, read_config
    from kerasdl.training.jobs import JOBS
    from kerasdl.training.transfer import TransferJob, load_dataset

    config = override(read_config(path), fields)
    JOBS["transfer"].check(config)
    held = transfer_folds.cross_validate(
        lambda dataset: TransferJob(config, dataset),
        load_dataset(config),
        folds,
        config.seed,
    )
    return scores(held)


def parsed(text: str) -> object:
    """A value of the command line as a number, a truth value or a text."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/transfer/default.py")
    parser.add_argument("--root", default="", help="class folders; '' for the config's")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", default="0", help="of folds and training, with commas")
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE")
    given = parser.parse_args()
    fields = {k: parsed(v) for k, _, v in (f.partition("=") for f in given.fields)}
    if given.root:
        fields["data.root"] = given.root
    rows, started = [], time.monotonic()
    for seed in map(int, given.seeds.split(",")):
        rows.append(cross_validate(given.config, {**fields, "seed": seed}, given.folds))
    means = {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
    cells = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
    seconds = time.monotonic() - started
    print(
        f"{' '.join(given.fields) or 'as it is'}: {cells}  ({seconds:.0f} s)", flush=True
    )


if __name__ == "__main__":
    main()
