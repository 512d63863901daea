"""Writes a site that answers in the browser: no server, nothing leaves the device.

    npm install @litertjs/core@2.5.3
    python -m kerasdl.export.page --model=captioner.tflite sentiment.tflite \\
        --output=site/ --litert-js=node_modules/@litertjs/core
    python -m http.server -d site/

`--model` names files that `kerasdl.export.tflite` wrote: a person drops a picture and
gets its caption, class or style, or types a sentence and gets its class with the words
that moved it. LiteRT.js runs them; it takes fixed shapes alone.
"""

import contextlib
import html
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from absl import flags

from kerasdl.data.captions.vocabulary import CaptionVocabulary
from kerasdl.data.decisions import FILE as DECISION
from kerasdl.data.decisions import Decision
from kerasdl.data.texts.tokens import Tokenizer
from kerasdl.errors import InputError
from kerasdl.export import inputs, litert
from kerasdl.files import write_json
from kerasdl.training import command

VERSION = "2.5.3"
JOBS = ("captioning", "style", "text", "transfer")
MODELS = Path("assets") / "models.json"
ASSETS = ("page.css", "page.js", "pictures.js", "device.js")
# What a browser fetches of LiteRT.js, by whether it has relaxed SIMD and threads.
WASM = ("compat_internal", "internal", "threaded_internal")
# The page can fetch from where it came from, and from nowhere else.
POLICY = (
    "default-src 'none'; connect-src 'self' blob: data:; img-src 'self' blob: data:; "
    "script-src 'self' 'wasm-unsafe-eval' blob:; style-src 'self'; "
    "worker-src 'self' blob:"
)


def main() -> None:
    """Runs the command."""
    given = flags.FLAGS
    write_site(given.model, given.output, given.litert_js, given.title)
    print(f"{given.output}: python -m http.server -d {given.output}")


def write_site(
    models: Sequence[str], output: str | Path, litert_js: str | Path, title: str = ""
) -> None:
    """Writes the static files, or nothing.

    Args:
        models: `.tflite` files; the first one is shown first.
        output: A folder that does not exist, or is empty, or holds such a site.
        litert_js: The npm package `@litertjs/core`, `@litertjs/wasm-utils` beside it.
        title: Of the page; the first model's name, if empty.

    Raises:
        InputError: A file is no model that a page can run, names collide, the package is
            not there, or `output` holds something else.
    """
    output, package = Path(output), Path(litert_js) if litert_js else None
    described = [describe(Path(model)) for model in models]
    names = [entry["name"] for entry in described]
    if len(set(names)) < len(names):
        raise InputError(f"--model: files must differ in name, got {', '.join(names)}.")
    library = package and package / "dist" / "index.js"
    helper = package and package.parent / "wasm-utils" / "dist" / "index.js"
    if not package or not library.is_file() or not helper.is_file():
        raise InputError(
            f"--litert-js must be a folder of the npm package: `npm install "
            f"@litertjs/core@{VERSION}`, then --litert-js=node_modules/@litertjs/core; "
            f"got {str(litert_js)!r}."
        )
    with _new_site(output) as folder:
        assets = folder / "assets"
        (assets / "litert" / "wasm").mkdir(parents=True)
        for name in ASSETS:
            (assets / name).write_text(_web(name), encoding="utf-8")
        for kind in WASM:
            for ending in ("js", "wasm"):
                name = f"litert_wasm_{kind}.{ending}"
                shutil.copyfile(
                    package / "wasm" / name, assets / "litert" / "wasm" / name
                )
        core = library.read_text(encoding="utf-8")
        core = core.replace('"@litertjs/wasm-utils"', '"./wasm-utils.js"')
        (assets / "litert" / "core.js").write_text(core, encoding="utf-8")
        shutil.copyfile(helper, assets / "litert" / "wasm-utils.js")
        for entry, model in zip(described, models, strict=True):
            shutil.copyfile(model, assets / entry["file"])
        write_json(folder / MODELS, described)
        page = Template(_web("page.html")).substitute(
            title=html.escape(title or names[0]),
            engine="assets/device.js",
            head=f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n',
        )
        (folder / "index.html").write_text(page, encoding="utf-8")


def describe(path: Path) -> dict[str, Any]:
    """What the page has to know of a model.

    Raises:
        InputError: It is no model of ours of pictures or sentences, its shapes are not
            fixed, or its tokenizer runs in TensorFlow alone.
    """
    metadata, files = litert.read_appended(path)
    job, given = metadata.get("job"), metadata.get("input")
    if job not in JOBS:
        raise InputError(
            f"{path}: a page takes models of {', '.join(JOBS)}, got {job!r}."
        )
    signature = litert.DeviceModel(path).signature()
    if len(signature["inputs"]) > 1:
        raise InputError(
            f"{path}: a page takes models of one input, got "
            f"{', '.join(signature['inputs'])}."
        )
    details = signature["inputs"][given["name"]]
    if details["shape"][0] != 1 or min(details["shape"]) < 1:
        raise InputError(
            f"{path}: LiteRT.js takes inputs of one fixed shape, got {details['shape']}: "
            "export it with a batch of 1 and a fixed length."
        )
    described = {
        "name": path.stem,
        "file": path.name,
        "job": job,
        "input": {**given, **details},
    }
    if "labels.txt" in files:
        described["labels"] = files["labels.txt"].splitlines()
    if DECISION in files:
        classes = len(described["labels"])
        decision = Decision.from_json(files[DECISION], classes, f"{path}: {DECISION}")
        if decision.multi_label:
            raise InputError(f"{path}: a page shows one label, and the model gives many.")
        described["thresholds"] = decision.thresholds
    if "vocab.txt" in files:
        described["vocabulary"] = files["vocab.txt"].removesuffix("\n").split("\n")
    if job == "captioning":
        described["special"] = len(CaptionVocabulary.special_tokens)
    if job == "text":
        tokenizer = Tokenizer.from_json(
            files["tokenizer.json"], f"{path}: tokenizer.json"
        )
        if tokenizer.kind != "whitespace" or tokenizer.extra_ids:
            kind = tokenizer.kind + (" with subwords" if tokenizer.extra_ids else "")
            raise InputError(f"{path}: the tokenizer {kind!r} does not run in a browser.")
        described["max_tokens"] = tokenizer.max_tokens
    return described


@contextlib.contextmanager
def _new_site(output: Path) -> Iterator[Path]:
    """Yields a folder that becomes `output` on success, else is removed."""
    is_site = (output / MODELS).is_file()
    if output.exists() and not is_site and (output.is_file() or any(output.iterdir())):
        raise InputError(f"--output must be a new folder or a site, got {str(output)!r}.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=output.parent, prefix=".page-")
    except OSError as error:
        raise InputError(
            f"--output cannot be written: {error.strerror}, got {str(output)!r}."
        ) from error
    with temporary as name:
        folder = Path(name) / "site"
        folder.mkdir()
        yield folder
        if output.exists():
            output.rename(Path(name) / "before")
        folder.rename(output)


def _web(name: str) -> str:
    return (resources.files("kerasdl.export") / "web" / name).read_text("utf-8")


if __name__ == "__main__":
    flags.DEFINE_multi_string("model", None, "Files that kerasdl.export.tflite wrote.")
    flags.DEFINE_string("output", None, "The folder of the site.")
    flags.DEFINE_string("litert_js", "", "The npm package @litertjs/core: a folder.")
    flags.DEFINE_string("title", "", "Of the page; the first model's name, if empty.")
    flags.mark_flags_as_required(["model", "output"])
    argv = [word.replace("--litert-js", "--litert_js", 1) for word in sys.argv]
    command.run(main, inputs.spread_flag(argv, "model"))
