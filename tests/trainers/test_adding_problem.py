import json
import subprocess
import sys

from kerasdl.data.drawn.adding import CHANCE


def test_both_models_learn_a_short_problem_and_are_drawn(tmp_path):
    workdir = tmp_path / "w"
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "kerasdl.trainers.adding_problem", f"--workdir={workdir}"),
            *("--config.steps=4", "--config.units=16", "--config.epochs=4"),
            "--config.val_sequences=300",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics["rnn/val/loss"] < CHANCE / 4
    assert metrics["lstm/val/loss"] < CHANCE / 4
    assert (workdir / "loss.png").stat().st_size > 5000
    assert "<svg" in (workdir / "report.html").read_text()
    assert (workdir / "lstm" / "model.keras").is_file()
