"""Many clients at once, each on a connection of its own, until somebody says stop."""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLIENTS = 16


@dataclasses.dataclass(frozen=True)
class Request:
    """What one client sends, and whether an answer to it is right.

    Attributes:
        path: Where to.
        body: None for a GET.
        right: From the status and the JSON of the answer.
        hang_up: Whether the client leaves after half of the body, without an answer.
    """

    path: str
    body: bytes | None
    right: Callable[[int, Any], bool]
    hang_up: bool = False


@dataclasses.dataclass
class Outcome:
    """What came of all requests.

    Attributes:
        wrong: What was answered wrongly, or not at all.
        seconds: How long each answer took.
        memory: Bytes of the server's processes, about once a second.
    """

    wrong: list[str] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    memory: list[int] = dataclasses.field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The time in seconds that this share of the answers took at most."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


def hammer(
    port: int,
    draw: Callable[[random.Random], Request],
    enough: Callable[[Outcome], bool],
    processes: Callable[[], list[int]] = list,
) -> Outcome:
    """Sends requests from `CLIENTS` clients, each as soon as the one before is answered.

    Args:
        port: The server's.
        draw: Makes a request.
        enough: Whether to stop.
        processes: Whose memory to watch.
    """
    outcome = Outcome()

    def client(seed: int) -> None:
        rng = random.Random(seed)
        connection = None
        while not enough(outcome):
            request = draw(rng)
            if request.hang_up:
                _hang_up(port, request)
                continue
            begin = time.perf_counter()
            try:
                connection = connection or http.client.HTTPConnection(
                    "127.0.0.1", port, timeout=120
                )
                method = "GET" if request.body is None else "POST"
                connection.request(method, request.path, request.body)
                response = connection.getresponse()
                told = response.read()
            except (OSError, http.client.HTTPException) as error:
                outcome.wrong.append(f"{request.path}: dropped: {error!r}")
                connection = None
                continue
            outcome.seconds.append(time.perf_counter() - begin)
            with contextlib.suppress(ValueError):
                told = json.loads(told)
            if not request.right(response.status, told):
                outcome.wrong.append(f"{request.path}: {response.status} {told!r:.300}")
        if connection is not None:
            connection.close()

    def watch() -> None:
        while not enough(outcome):
            outcome.memory.append(sum(map(_memory, processes())))
            time.sleep(1)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS + 1) as pool:
        watching = pool.submit(watch)
        list(pool.map(client, range(CLIENTS)))
        watching.result()
    return outcome


def _hang_up(port: int, request: Request) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        head = f"POST {request.path} HTTP/1.1\r\nHost: here\r\n"
        head += f"Content-Length: {len(request.body)}\r\n\r\n"
        client.sendall(head.encode() + request.body[: len(request.body) // 2])


def _memory(process: int) -> int:
    """The resident bytes of a process; 0 of one that has ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
