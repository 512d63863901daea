"""Runs every benchmark on a GPU and writes its tables into docs/gpu.md.

    python -m benchmarks.gpu --weights=SQUEEZENET_H5 --pictures=FOLDER --texts=FOLDER
    python -m benchmarks.gpu --only=recurrent --device=cpu --output=trial.md

The document keeps its text. What stands between `<!-- NAME -->` and `<!-- end -->`
becomes what the benchmark NAME printed, with the device and the day. One that fails
leaves its place as it was, and the command ends with its exit code. Needs PyTorch with
CUDA.
"""

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parent.parent / "docs" / "gpu.md"
# What each benchmark is started with, beside --device.
COMMANDS = {
    "tests": "pytest -q -m gpu",
    "recurrent": "benchmarks.recurrent",
    "style": "benchmarks.style_transfer --weights={weights} --pictures={pictures}",
    "transfer": "benchmarks.transfer --batches=4,16,64",
    "text": "benchmarks.text --root={texts}",
}


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="gpu", choices=("cpu", "gpu"))
    parser.add_argument("--only", default=",".join(COMMANDS), help="with commas")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    parser.add_argument("--weights", default="", help="SqueezeNet's, for style")
    parser.add_argument("--pictures", default="", help="those of the style recipes")
    parser.add_argument("--texts", default="", help="labelled sentences, for text")
    parser.add_argument("--extra", default="", help="further flags of the benchmarks")
    given = parser.parse_args()
    document = given.output if given.output.exists() else DOCUMENT
    text, failed = document.read_text(encoding="utf-8"), 0
    for name in given.only.split(","):
        command = COMMANDS[name].format(**vars(given)).split()
        if name != "tests":
            command += [f"--device={given.device}", *given.extra.split()]
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True
        )
        print(f"{name}: exit code {done.returncode}", flush=True)
        failed = failed or done.returncode
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            continue
        day = datetime.date.today().isoformat()
        head = f"{device_name(given.device)}, {day}: `python -m {' '.join(command)}`"
        text = with_table(text, name, f"{head}\n\n{fenced(done.stdout.strip())}")
        given.output.write_text(text, encoding="utf-8")
    sys.exit(failed)


def fenced(printed: str) -> str:
    """What was printed, as it is if it is a Markdown table, else as literal text."""
    return printed if "\n|---" in printed else f"```\n{printed}\n```"


def with_table(text: str, name: str, table: str) -> str:
    """The document with a benchmark's place filled anew.

    Raises:
        SystemExit: It has no such place.

    >>> with_table("<!-- a -->\\nold\\n<!-- end -->\\n", "a", "new")
    '<!-- a -->\\nnew\\n<!-- end -->\\n'
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"error: the document has no place `<!-- {name} -->`.")
    return pattern.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def device_name(device: str) -> str:
    """What the machine calls the device."""
    import tensorflow as tf

    if device == "cpu":
        return "processor"
    (gpu, *_) = tf.config.list_physical_devices("GPU") or sys.exit("error: no GPU.")
    return tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")


if __name__ == "__main__":
    main()
