"""The site that answers in a browser: its files, its arithmetic, its answers."""

import functools
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasdl.data.pictures.decoding import prepare_picture
from kerasdl.errors import InputError
from kerasdl.export.page import ASSETS, VERSION, WASM, write_site
from tests.export.isolation import REPOSITORY

WEB = REPOSITORY / "export" / "web"
SIZE = 16
WORDS = ["<NULL>", "<UNK>", "good", "bad", "not", "caf\u00e9"]
LABELS = ["negative", "positive"]


def write_model(path, job, function, spec, **files):
    """A .tflite file as an export writes it, around any function."""
    module = tf.Module()
    module.run = tf.function(function, input_signature=[spec])
    folder = path.parent / f"{path.stem}.saved"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.run})
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    path.write_bytes(converter.convert())
    kind = "text" if job == "text" else "picture"
    shape = [-1 if size is None else size for size in spec.shape]
    given = {"name": spec.name, "kind": kind, "shape": shape, "preparation": "crop"}
    metadata = json.dumps({"job": job, "input": given})
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in {"metadata.json": metadata, **files}.items():
            archive.writestr(name, text)
    return path


def classes(logits):
    return {"probabilities": tf.nn.softmax(logits)}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A classifier of pictures, one of sentences, and a painter, weights drawn."""
    folder = tmp_path_factory.mktemp("device")
    rng = np.random.default_rng(0)
    filters = tf.constant(rng.normal(0, 0.01, (5, 5, 3, 2)), tf.float32)
    vectors = tf.constant(rng.normal(0, 2, (len(WORDS), 2)), tf.float32)
    image = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, "image")

    def classify(image):
        return classes(tf.reduce_max(tf.nn.conv2d(image, filters, 2, "SAME"), (1, 2)))

    def paint(image):
        return {"image": 255.0 - image * tf.constant([1.0, 0.5, 1.2])}

    def judge(ids):
        return classes(tf.reduce_sum(tf.gather(vectors, ids), 1))

    labels = "".join(f"{label}\n" for label in LABELS)
    words = "".join(f"{word}\n" for word in WORDS)
    tokenizer = json.dumps({"kind": "whitespace", "max_tokens": 6})
    texts = {"labels.txt": labels, "vocab.txt": words, "tokenizer.json": tokenizer}
    ids = tf.TensorSpec((1, 8), tf.int32, "ids")
    return {
        "shapes": write_model(
            folder / "shapes.tflite",
            "transfer",
            classify,
            image,
            **{"labels.txt": labels},
        ),
        "sentiment": write_model(
            folder / "sentiment.tflite", "text", judge, ids, **texts
        ),
        "negative": write_model(folder / "negative.tflite", "style", paint, image),
        "any_length": write_model(
            folder / "any_length.tflite",
            "text",
            judge,
            tf.TensorSpec((1, None), tf.int32, "ids"),
            **texts,
        ),
    }


@pytest.fixture
def package(tmp_path):
    """A folder that looks like the npm package."""
    core = tmp_path / "node_modules" / "@litertjs" / "core"
    helper = core.parent / "wasm-utils" / "dist"
    for folder in (core / "dist", core / "wasm", helper):
        folder.mkdir(parents=True)
    text = 'import { createWasmLib } from "@litertjs/wasm-utils";'
    (core / "dist" / "index.js").write_text(text)
    (helper / "index.js").write_text("export const createWasmLib = 1;")
    for kind in WASM:
        for ending in ("js", "wasm"):
            (core / "wasm" / f"litert_wasm_{kind}.{ending}").write_text(kind)
    return core


def test_a_site_of_static_files(models, package, tmp_path):
    site = tmp_path / "deep" / "site"
    chosen = [models["shapes"], models["sentiment"]]
    write_site(chosen, site, package, "A <title>")
    page = (site / "index.html").read_text()
    assert "<h1>A &lt;title&gt;</h1>" in page and "connect-src 'self'" in page
    assert "$" not in page
    for name in (*ASSETS, "shapes.tflite", "litert/wasm/litert_wasm_internal.wasm"):
        assert (site / "assets" / name).is_file()
    assert '"./wasm-utils.js"' in (site / "assets" / "litert" / "core.js").read_text()
    first, second = json.loads((site / "assets" / "models.json").read_text())
    assert first["labels"] == LABELS and first["input"]["shape"] == [1, SIZE, SIZE, 3]
    assert second["vocabulary"] == WORDS and second["max_tokens"] == 6
    assert second["input"]["dtype"] == "int32"

    write_site([models["negative"]], site, package)  # a site is written anew
    assert not (site / "assets" / "shapes.tflite").exists()
    assert sorted(path.name for path in site.parent.iterdir()) == ["site"]


def test_what_a_page_refuses(models, package, tmp_path):
    site = tmp_path / "site"
    shapes = models["shapes"]
    other = tmp_path / "shapes.tflite"
    shutil.copyfile(shapes, other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "no.tflite").write_bytes(b"no model")
    for chosen, output, litert_js, message in [
        ([shapes], site, "", "npm install @litertjs/core@2.5.3"),
        ([shapes], site, tmp_path, "--litert-js must be a folder of the npm package"),
        ([shapes, other], site, package, "files must differ in name, got shapes, shapes"),
        ([shapes], tmp_path / "full", package, "--output must be a new folder or a site"),
        ([models["any_length"]], site, package, "one fixed shape, got \\[1, -1\\]"),
        ([tmp_path / "no.tflite"], site, package, "no.tflite: expected a TFLite model"),
    ]:
        with pytest.raises(InputError, match=message):
            write_site(chosen, output, litert_js)
    assert not site.exists() and (tmp_path / "full" / "mine.txt").is_file()
    assert not [*tmp_path.glob(".page-*")]


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_pictures_are_prepared_as_in_python_to_the_bit(tmp_path):
    shutil.copyfile(WEB / "pictures.js", tmp_path / "pictures.mjs")
    (tmp_path / "run.mjs").write_text(
        """
import fs from "node:fs";
import { prepare } from "./pictures.mjs";
for (const { width, height, size, how, name } of JSON.parse(process.argv[2])) {
  const pixels = new Uint8Array(fs.readFileSync(name));
  const done = prepare({ pixels, width, height }, size, how);
  fs.writeFileSync(name, Uint8Array.from(done));
}
"""
    )
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for number in range(24):
        height, width = (int(n) for n in rng.integers(2, 200, 2))
        size, how = int(rng.integers(2, 90)), ("squash", "crop")[number % 2]
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        image[: height // 2] = 255 * (number % 3 == 0)
        name = tmp_path / f"{number}.bin"
        name.write_bytes(image.tobytes())
        cases.append({"width": width, "height": height, "size": size, "how": how})
        cases[-1]["name"] = str(name)
        expected.append(prepare_picture(image, size, how))
    subprocess.run(
        ["node", "run.mjs", json.dumps(cases)], cwd=tmp_path, check=True, timeout=120
    )
    for case, image in zip(cases, expected, strict=True):
        assert Path(case["name"]).read_bytes() == image.tobytes(), case


# ---- in a browser ----


@pytest.fixture(scope="module")
def litert_js(tmp_path_factory):
    """The npm package, where $LITERT_JS says or as npm brings it."""
    if "LITERT_JS" in os.environ:
        return Path(os.environ["LITERT_JS"])
    folder = tmp_path_factory.mktemp("npm")
    if not shutil.which("npm"):
        pytest.skip("needs npm, or LITERT_JS=node_modules/@litertjs/core")
    done = subprocess.run(
        ["npm", "install", "--prefix", str(folder), f"@litertjs/core@{VERSION}"],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip(f"npm does not bring @litertjs/core: {done.stderr[-200:]}")
    return folder / "node_modules" / "@litertjs" / "core"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs Chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=chromium, args=flags)


@pytest.fixture(scope="module")
def site(models, tflite, litert_js, tmp_path_factory):
    """The URL of a site of four models, and what was asked of its server."""
    folder = tmp_path_factory.mktemp("www") / "site"
    chosen = [tflite[0], *(models[n] for n in ("shapes", "sentiment", "negative"))]
    write_site(chosen, folder, litert_js)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):  # an isolated page, so that threads run too
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser, site):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(60_000)
    faults, asked = [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site)
    page.wait_for_selector("body[data-ready=yes]")
    yield page
    assert not faults
    # Nothing leaves the device.
    assert all(url.startswith((site, "blob:", "data:")) for url in asked), asked
    page.close()


def in_python(model, *files, output=""):
    """What the command `predict` answers, an object for each input."""
    command = [sys.executable, "-m", "kerasdl.export.predict", f"--model={model}"]
    command += ["--json", f"--output={output}", "--input", *map(str, files)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    return [json.loads(line) for line in done.stdout.splitlines()]


def settle(page):
    page.wait_for_timeout(100)
    page.wait_for_selector("body[data-ready=yes]")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def give(page, path):
    page.set_input_files("#file", path)
    settle(page)


@pytest.mark.slow
def test_captions_and_classes_in_a_browser_are_pythons(
    page, tflite, models, picture_folder
):
    assert page.inner_text("h1") == "captioner"
    pictures = sorted(picture_folder.glob("*.png"))[:3]
    for path, answer in zip(pictures, in_python(tflite[0], *pictures), strict=True):
        give(page, path)
        assert page.inner_text("#answer") == answer["caption"]
    page.click("text=shapes")
    answers = in_python(models["shapes"], *pictures)
    for path, answer in zip(pictures, answers, strict=True):
        give(page, path)
        assert page.inner_text("#answer") == answer["label"]
        shown = page.eval_on_selector_all("dd:not(.bar)", "e => e.map(x => x.innerText)")
        expected = sorted(answer["probabilities"].values(), reverse=True)
        np.testing.assert_allclose(
            [float(s.split()[0]) / 100 for s in shown], expected, atol=6e-4
        )


@pytest.mark.slow
def test_sentences_by_keyboard_and_the_words_that_moved_them(page, models, tmp_path):
    page.focus("text=sentiment")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    sentence = "good bad not\u00a0one  caf\u00e9 <UNK> not good good"
    page.keyboard.type(sentence)
    page.keyboard.press("Enter")
    settle(page)
    words = [word for word in sentence.split(" ") if word]
    rests = [" ".join(words[:n] + words[n + 1 :]) for n in range(len(words))]
    (tmp_path / "lines.txt").write_text("\n".join([sentence, *rests]))
    answer, *others = in_python(models["sentiment"], tmp_path / "lines.txt")
    assert page.inner_text("#answer") == answer["label"]
    effects = page.eval_on_selector_all(
        "#words span[data-effect]", "e => e.map(x => [x.innerText, +x.dataset.effect])"
    )
    assert [word for word, _ in effects] == words
    whole = answer["probabilities"][answer["label"]]
    for other, (_, effect) in zip(others, effects, strict=True):
        assert abs(effect - (whole - other["probabilities"][answer["label"]])) < 1e-5


@pytest.mark.slow
def test_a_painted_picture_is_pythons_and_faults_are_told(
    page, models, picture_folder, tmp_path
):
    page.click("text=negative")
    path = picture_folder / "0.png"
    give(page, path)
    data = page.evaluate(
        """async () => {
          const blob = await (await fetch(document.getElementById("made").src)).blob();
          return [...new Uint8Array(await blob.arrayBuffer())];
        }"""
    )
    made = np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))
    (answer,) = in_python(models["negative"], path, output=tmp_path)
    np.testing.assert_array_equal(made, np.asarray(Image.open(answer["picture"])))

    (tmp_path / "no.png").write_bytes(b"no picture")
    give(page, tmp_path / "no.png")
    assert "cannot read this file as a picture" in page.inner_text("#status")
