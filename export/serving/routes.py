"""The HTTP side: TensorFlow Serving's REST paths, limits, metrics, and the page.

    GET  /v1/models/NAME[/versions/V]             states
    GET  /v1/models/NAME[/versions/V]/metadata    signatures
    POST /v1/models/NAME[/versions/V]:predict     answers
    GET  /health   /metrics   /monitoring/prometheus/metrics   /

Every error is `{"error": message}`. What a client does wrong is answered with 400, 404,
408, 413, 415 or 429; 503 and 504 say that the server is starting, or too slow.
"""

import asyncio
import concurrent.futures
import html
import io
import os
import re
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from string import Template

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kerasdl.data.pictures.decoding import as_jpeg_or_png
from kerasdl.errors import InputError
from kerasdl.export.serving.metrics import CONTENT_TYPE, Metrics
from kerasdl.export.serving.options import Options
from kerasdl.export.serving.state import AVAILABLE, State, Version
from kerasdl.export.serving.tensors import (
    PredictBody,
    Refused,
    read_body,
    to_answer,
    to_tensors,
)
from kerasdl.export.serving.worker import Call, Reply

# The input of kerasdl's exports that takes encoded pictures.
PICTURES = "image_bytes"
_PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?:(\w+)")
_STATUS = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?(/metadata)?")
_ASSETS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "server.js": "text/javascript",
}


class Service:
    """The requests of one model.

    Args:
        state: Which versions there are.
        ask: Runs a call.
        options: What is refused.
    """

    def __init__(
        self, state: State, ask: Callable[[Call], Awaitable[Reply]], options: Options
    ) -> None:
        self.state = state
        self.metrics = Metrics()
        self._ask = ask
        self._options = options
        self._waiting = 0
        # Bodies are read and pictures looked at beside the event loop, few at a time:
        # each may take some hundred megabytes.
        self._threads = concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1))

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/assets/{name}", self._asset),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Route("/monitoring/prometheus/metrics", self._metrics),
                Route(
                    "/{path:path}", self._rest, methods=["GET", "POST", "PUT", "DELETE"]
                ),
            ],
            exception_handlers={404: _no_route, 405: _no_route},
        )

    async def _rest(self, request: Request) -> Response:
        path = request.url.path
        predict = _PREDICT.fullmatch(path) if request.method == "POST" else None
        if predict is not None and predict[3] == "predict":
            return await self._predict(request, *predict.group(1, 2))
        try:
            status = _STATUS.fullmatch(path) if request.method == "GET" else None
            if status is None:
                code = 400 if path.startswith("/v1/") else 404
                raise Refused(code, f"Malformed request: {request.method} {path[:200]}")
            version = self._named(*status.group(1, 2))
            return self._metadata(version) if status[3] else self._status(version)
        except Refused as refused:
            return _error(refused)

    async def _predict(
        self, request: Request, name: str, version: str | None
    ) -> Response:
        """Answers a predict request, and counts it."""
        start = time.perf_counter()
        self._waiting += 1
        try:
            if self._waiting > self._options.max_waiting:
                raise Refused(
                    429,
                    f"{self._options.max_waiting} requests are waiting; try again later.",
                )
            chosen = self.state.version(self._named(name, version))
            body = await self._body(request)
            response = await asyncio.wait_for(
                self._answer(body, *chosen), self._options.timeout
            )
        except Refused as refused:
            response = _error(refused)
        except TimeoutError:
            response = _error(
                Refused(504, f"No answer within {self._options.timeout} seconds.")
            )
        except ClientDisconnect:
            response = _error(Refused(400, "The client went away."))
        finally:
            self._waiting -= 1
        self.metrics.requests.labels(response.status_code).inc()
        self.metrics.seconds.observe(time.perf_counter() - start)
        return response

    async def _body(self, request: Request) -> bytes:
        """The request's body, not more of it than is allowed."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "A compressed body is not read: send it as it is.")
        limit = self._options.max_body_mib << 20
        refused = Refused(
            413, f"The body is larger than {self._options.max_body_mib} MiB."
        )
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise refused
        body = bytearray()
        try:
            async with asyncio.timeout(self._options.timeout):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > limit:
                        raise refused
                    body += chunk
        except TimeoutError:
            raise Refused(
                408, f"The body took longer than {self._options.timeout} seconds."
            ) from None
        return bytes(body)

    async def _answer(self, data: bytes, number: int, version: Version) -> Response:
        loop = asyncio.get_running_loop()
        body, call = await loop.run_in_executor(
            self._threads, self._prepare, data, number, version
        )
        if body.in_rows and not body.value:
            return Response(
                to_answer({"": np.empty(0)}, True), media_type="application/json"
            )
        reply = await self._asked(call)
        if reply.error:
            raise Refused(reply.status, reply.error)
        self.metrics.rows.inc(call.rows)
        self.metrics.batches.observe(reply.ran_with)
        answer = await loop.run_in_executor(
            self._threads, to_answer, reply.outputs, body.in_rows
        )
        return Response(answer, media_type="application/json")

    async def _asked(self, call: Call) -> Reply:
        """The worker's reply, or an error if the worker ends before it replies."""
        worker = self.state.worker()
        task = asyncio.ensure_future(self._ask(call))
        try:
            while not (await asyncio.wait([task], timeout=1))[0]:
                if self.state.worker() != worker:
                    raise Refused(503, "The model's process ended and was started again.")
            return task.result()
        finally:
            task.cancel()

    def _prepare(
        self, data: bytes, number: int, version: Version
    ) -> tuple[PredictBody, Call]:
        """A body as tensors that the model takes."""
        body = read_body(data)
        signature = version.signature(body.signature_name)
        tensors = to_tensors(body, signature)
        sizes = {len(tensors[name]) for name in tensors if tensors[name].ndim}
        if signature.batched and len(sizes) > 1:
            raise Refused(
                400, f"The inputs differ in their number of rows: {sorted(sizes)}."
            )
        rows = max(sizes, default=1)
        if (signature.batched or body.in_rows) and rows > self._options.max_batch:
            raise Refused(
                400,
                f"The request has {rows} rows; at most {self._options.max_batch} are "
                "answered at once.",
            )
        if version.job and [*tensors] == [PICTURES]:
            self._check_pictures(tensors[PICTURES].reshape(-1))
        return body, Call(number, body.signature_name, tensors, signature.batched)

    def _check_pictures(self, pictures: np.ndarray) -> None:
        """Refuses what is no picture; what TensorFlow does not decode becomes PNG."""
        for index, data in enumerate(pictures):
            try:
                self._check_size(data)
                pictures[index] = as_jpeg_or_png(data, f"picture {index}")
            except InputError as error:
                raise Refused(400, str(error)) from None

    def _check_size(self, data: bytes) -> None:
        try:
            with Image.open(io.BytesIO(data)) as picture:
                width, height = picture.size
        except Exception:  # Pillow raises any of a dozen kinds; what follows says which
            return
        if width * height > self._options.max_megapixels * 1_000_000:
            raise InputError(
                f"a picture has {width} x {height} pixels; at most "
                f"{self._options.max_megapixels} megapixels are read."
            )

    def _named(self, name: str, version: str | None) -> int | None:
        """The version that a path asks of this model."""
        number = int(version) if version is not None else None
        if name != self.state.name:
            which = f"Latest({name[:100]})"
            if number is not None:
                which = f"Specific({name[:100]}, {number})"
            raise Refused(404, f"Servable not found for request: {which}")
        return number

    def _status(self, version: int | None) -> Response:
        states = self.state.states(version)
        return JSONResponse(
            {
                "model_version_status": [
                    {
                        "version": number,
                        "state": state,
                        "status": {
                            "error_code": "UNKNOWN" if error else "OK",
                            "error_message": error,
                        },
                    }
                    for number, (state, error) in states.items()
                ]
            }
        )

    def _metadata(self, version: int | None) -> Response:
        number, loaded = self.state.version(version)
        spec = {"name": self.state.name, "signature_name": "", "version": str(number)}
        definitions = {"signature_def": loaded.definitions}
        return JSONResponse(
            {"model_spec": spec, "metadata": {"signature_def": definitions}}
        )

    async def _health(self, request: Request) -> Response:
        del request
        ready = self.state.ready()
        return Response("ok" if ready else "not ready", 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        del request
        self.metrics.waiting.set(self._waiting)
        self.metrics.available.clear()
        for number, (state, _) in self.state.states().items():
            served = self.metrics.available.labels(self.state.name, number)
            served.set(state == AVAILABLE)
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _page(self, request: Request) -> Response:
        del request
        page = Template(_asset_text("page.html"))
        return Response(
            page.substitute(
                title=html.escape(self.state.name), engine="assets/server.js", head=""
            ),
            media_type="text/html",
        )

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            return _error(Refused(404, f"There is no {request.url.path[:200]}."))
        return Response(_asset_text(name), media_type=_ASSETS[name])


def _asset_text(name: str) -> str:
    return (resources.files("kerasdl.export") / "web" / name).read_text("utf-8")


def _error(refused: Refused) -> Response:
    headers = {"retry-after": "1"} if refused.status == 429 else None
    return JSONResponse({"error": refused.message}, refused.status, headers)


async def _no_route(request: Request, error: Exception) -> Response:
    del error
    code = 400 if request.url.path.startswith("/v1/") else 404
    return _error(
        Refused(code, f"Malformed request: {request.method} {request.url.path[:200]}")
    )
