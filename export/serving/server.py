"""The server as a whole: LitServe's processes around our worker and our routes."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType

import litserve
from litserve.server import RegularRequestHandler
from litserve.utils import ResponseBufferItem
from starlette.routing import Mount

from kerasdl.errors import InputError
from kerasdl.export.serving.options import Options
from kerasdl.export.serving.routes import Service
from kerasdl.export.serving.source import Source
from kerasdl.export.serving.state import State
from kerasdl.export.serving.worker import Call, Reply, Worker, end_with_parent

# What LitServe takes.
HOSTS = ("127.0.0.1", "0.0.0.0", "::")


def serve(options: Options) -> None:
    """Serves until SIGTERM or Ctrl-C, then answers what is waiting, and returns.

    Raises:
        InputError: If there is no model, no version loads, or the port is taken.
    """
    source = Source.find(options.model)
    name = options.name or source.name
    _check_address(options)
    with tempfile.TemporaryDirectory(prefix="kerasdl-serve-") as folder:
        state_file = Path(folder) / "state.json"
        worker = Worker(
            source,
            options.versions,
            state_file,
            options.max_batch,
            options.max_waiting,
            options.reload_seconds,
        )
        server = litserve.LitServer(
            worker,
            accelerator="cpu",  # one process; TensorFlow finds its devices itself
            timeout=False,  # ours counts from the request's arrival
            restart_workers=True,
            disable_openapi_url=True,
        )
        handler = RegularRequestHandler(worker, server)

        async def ask(call: Call) -> Reply:
            uid, _ = await handler._submit_request(call)
            waiting = ResponseBufferItem(asyncio.Event())
            server.response_buffer[uid] = waiting
            try:
                await waiting.event.wait()
            finally:  # LitServe would keep the answer to a request that was given up
                del server.response_buffer[uid]
            return waiting.response[0]

        service = Service(State(state_file, name), ask, options)
        server.app.router.routes[:] = [Mount("/", service.app())]

        _stop_on_signals()
        os.register_at_fork(after_in_child=end_with_parent)
        print(f"{name}: http://{options.host}:{options.port}/", flush=True)
        try:
            server.run(
                host=options.host,
                port=options.port,
                num_api_servers=1,
                log_level="warning",
                generate_client_file=False,
            )
        except RuntimeError as error:
            if state_file.exists() and not State(state_file, name).ready():
                faults = State(state_file, name).states()
                told = "; ".join(f"version {v}: {e}" for v, (_, e) in faults.items() if e)
                raise InputError(f"{options.model}: no version loads: {told}") from error
            raise


def _stop_on_signals() -> None:
    """Makes SIGTERM end the server as Ctrl-C does, which is all that LitServe knows.

    Its HTTP process inherits the handler, and comes to it when it has answered what was
    waiting.
    """
    main = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        if os.getpid() == main:
            raise KeyboardInterrupt
        sys.exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _check_address(options: Options) -> None:
    if options.host not in HOSTS:
        raise InputError(
            f"--host must be one of {', '.join(HOSTS)}, got {options.host!r}."
        )
    if not 1024 <= options.port <= 65535:
        raise InputError(f"--port must be from 1024 to 65535, got {options.port}.")
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((options.host, options.port))
        except OSError as error:
            raise InputError(
                f"--port={options.port} cannot be used: {error.strerror}."
            ) from error
