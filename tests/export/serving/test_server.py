"""The command, as a process on this machine's loopback."""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasdl.errors import InputError
from kerasdl.export.serving.options import Options
from kerasdl.export.serving.server import serve
from tests.export.serving.load import Request, hammer

REPOSITORY = Path(__file__).parents[3]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "kerasdl.export.serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


class Client:
    """Asks a server; one connection for each question, so that threads may share it."""

    def __init__(self, port):
        self.port = port

    def __call__(self, path, value=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            if isinstance(value, bytes) or value is None:
                body = value
            else:
                body = json.dumps(value).encode()
            connection.request("GET" if value is None else "POST", path, body)
            response = connection.getresponse()
            text = response.read().decode()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text


@contextlib.contextmanager
def serving(folder, *flags):
    port = free_port()
    process = command(f"--model={folder}", f"--port={port}", *flags)
    client = Client(port)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "the server did not start"
            with contextlib.suppress(OSError):
                if client("/health")[0] == 200:
                    break
            time.sleep(0.2)
        yield client, process
    finally:
        process.kill()  # its children end with it
        process.communicate()


def eventually(check):
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def children(process):
    told = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(maxsplit=1) for line in told.stdout.splitlines()]
    return {int(pid): arguments for pid, arguments in lines}


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def mixed_request(rng):
    """A request to the model of `scaled`, right or wrong in one of many ways."""
    path, kind = "/v1/models/scaled:predict", rng.randrange(10)

    def post(value, right, **options):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return Request(path, body, right, **options)

    def refused(status, told):
        return status == 400 and bool(told["error"]) and told["error"].isprintable()

    rows = [[rng.randrange(1000) for _ in range(3)] for _ in range(rng.randint(1, 5))]
    scaled = [
        {"total": float(sum(row)), "y": [2.0 * value for value in row]} for row in rows
    ]
    if kind < 4:
        return post(
            {"instances": rows}, lambda *got: got == (200, {"predictions": scaled})
        )
    if kind == 4:
        ids = [rng.randrange(5) for _ in rows]
        answer = (200, {"predictions": [2.0 * number for number in ids]})
        body = {"signature_name": "ids", "instances": ids}
        return post(body, lambda *got: got == answer)
    if kind == 5:  # what the graph itself refuses
        return post({"signature_name": "ids", "instances": [1, 5]}, refused)
    if kind == 6:
        return post(rng.randbytes(rng.randint(0, 2000)), refused)
    if kind == 7:
        broken = [{"instances": [[1, 2]]}, {"inputs": {}}, {"instances": [[1, 2, "3"]]}]
        return post(rng.choice(broken), refused)
    if kind == 8:
        return post({"instances": rows}, lambda *_: True, hang_up=True)
    return Request("/v1/models/other", None, lambda status, _: status == 404)


def test_a_server_from_start_to_end(scaled, scaled_by_three, tmp_path):
    folder = tmp_path / "scaled"
    shutil.copytree(scaled, folder)
    predict, request = "/v1/models/scaled:predict", {"instances": [[1, 2, 3]]}
    with serving(folder, "--reload_seconds=1") as (ask, process):
        assert ask(predict, request) == (
            200,
            {"predictions": [{"total": 6.0, "y": [2.0, 4.0, 6.0]}]},
        )
        assert ask("/nowhere")[0] == 404 and ask(predict, b"[")[0] == 400
        assert ask("/")[1].startswith("<!doctype html>")

        # Mixed valid and broken requests from many clients at once.
        outcome = hammer(
            ask.port, mixed_request, lambda outcome: len(outcome.seconds) >= 600
        )
        assert outcome.wrong == []
        metrics = ask("/metrics")[1]
        assert 'code="200"' in metrics and 'code="400"' in metrics
        assert 'code="5' not in metrics

        # A new version, beside the old one.
        shutil.copytree(scaled_by_three, tmp_path / "new")
        (tmp_path / "new").rename(folder / "2")
        eventually(lambda: ask("/v1/models/scaled/versions/2/metadata")[0] == 200)
        assert ask(predict, request)[1]["predictions"][0]["y"] == [3, 6, 9]
        old = ask("/v1/models/scaled/versions/1:predict", request)
        assert old[1]["predictions"][0]["y"] == [2, 4, 6]

        # A worker that is killed is started again; nobody waits for ever.
        (worker,) = [
            pid for pid, args in children(process).items() if "spawn_main" in args
        ]
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: not is_running(worker))
        eventually(lambda: len([a for a in children(process).values() if "spawn" in a]))
        eventually(lambda: ask(predict, request)[0] == 200)

        # SIGTERM: what is waiting is answered, then all processes end.
        running = [process.pid, *children(process)]
        slow = {"signature_name": "slow", "instances": [300_000]}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            begin = time.monotonic()
            answer = pool.submit(ask, predict, slow)
            time.sleep(0.3)
            assert not answer.done(), f"too fast: {time.monotonic() - begin}"
            process.send_signal(signal.SIGTERM)
            assert answer.result() == (200, {"predictions": [300_000]})
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in process.stderr.read()
        eventually(lambda: not any(map(is_running, running)))


def test_what_the_command_refuses(scaled, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options, message in [
            ({"model": str(tmp_path)}, "--model must be a SavedModel's folder"),
            ({"model": str(scaled), "port": port}, f"--port={port} cannot be used"),
            ({"model": str(scaled), "port": 80}, "--port must be from 1024 to 65535"),
            ({"model": str(scaled), "host": "here"}, "--host must be one of 127.0.0.1"),
        ]:
            with pytest.raises(InputError, match=message):
                serve(Options(**options))


def test_a_model_that_does_not_load_is_one_line(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no model")
    process = command(f"--model={tmp_path}", f"--port={free_port()}")
    _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = [row for row in told.splitlines() if "cuda" not in row]
    assert line.startswith("error: ") and "no version loads: version 1: " in line


LOAD_SECONDS = float(os.environ.get("KERASDL_LOAD_SECONDS", "600"))


@pytest.mark.slow
def test_ten_minutes_of_load(saved_model):
    """Pictures, broken pictures and nonsense: no answer is wrong or missing."""
    folder = saved_model[0].parent
    path = f"/v1/models/{folder.name}:predict"
    colours = [tuple(np.random.default_rng(n).integers(0, 256, 3)) for n in range(12)]

    def encoded(colour, kind):
        file = io.BytesIO()
        image = Image.new("RGB", (40, 30), tuple(map(int, colour)))
        image.paste((0, 0, 0), (5, 5, 20, 20))
        image.save(file, kind)
        return file.getvalue()

    pictures = [encoded(c, kind) for c in colours for kind in ("PNG", "JPEG")]

    def rows(*datas):
        return {"instances": [{"b64": base64.b64encode(d).decode()} for d in datas]}

    def refused(status, told):
        return status == 400 and bool(told["error"])

    with serving(folder) as (ask, process):
        alone = [ask(path, rows(data))[1]["predictions"][0] for data in pictures]

        def draw(rng):
            kind = rng.choice(["one", "several", "broken", "nonsense", "shape", "half"])
            chosen = [rng.randrange(len(pictures)) for _ in range(rng.randint(1, 5))]
            if kind == "one":
                del chosen[1:]
            datas = [pictures[index] for index in chosen]
            if kind == "nonsense":
                return Request(path, rng.randbytes(rng.randint(0, 2000)), refused)
            if kind == "shape":
                return Request(path, b'{"instances": [[1], 2]}', refused)
            if kind == "broken":
                datas.insert(rng.randint(0, len(datas)), datas[0][:40])
                return Request(path, json.dumps(rows(*datas)).encode(), refused)

            def right(status, told):
                return status == 200 and all(
                    got["caption"] == alone[index]["caption"]
                    and abs(got["score"] - alone[index]["score"]) < 1e-3
                    for got, index in zip(told["predictions"], chosen, strict=True)
                )

            body = json.dumps(rows(*datas)).encode()
            return Request(path, body, right, hang_up=kind == "half")

        end = time.monotonic() + LOAD_SECONDS
        outcome = hammer(
            ask.port,
            draw,
            lambda _: time.monotonic() > end,
            lambda: [process.pid, *children(process)],
        )
        print(
            f"{len(outcome.seconds):,} answers in {LOAD_SECONDS:.0f} s; median "
            f"{outcome.quantile(0.5):.3f} s, p99 {outcome.quantile(0.99):.3f} s; MB each "
            f"tenth: {[m >> 20 for m in outcome.memory[:: len(outcome.memory) // 10]]}"
        )
        assert outcome.wrong == []
        metrics = ask("/metrics")[1]
        assert 'code="5' not in metrics and 'code="429"' not in metrics
        # Flat after warm-up: the last quarter holds what the second did.
        quarter = len(outcome.memory) // 4
        warm = max(outcome.memory[quarter : 2 * quarter])
        assert max(outcome.memory[-quarter:]) < 1.03 * warm
