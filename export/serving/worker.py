"""The process that runs the model: it takes what is waiting, in batches, and answers.

Rows of several requests run together if they go to the same signature of the same version
and have the same shape. An exception would fail every request of a LitServe batch, so a
fault is an answer like any other: requests that failed together run again one by one, and
only the faulty ones are refused.
"""

import dataclasses
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from litserve.loops.base import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType

from kerasdl.export.artefact import readable
from kerasdl.export.serving.source import Source
from kerasdl.files import write_json

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Call:
    """A request, checked: tensors for a signature of a version.

    Attributes:
        batched: Whether its rows may run together with those of others.
    """

    version: int
    signature: str
    tensors: Mapping[str, np.ndarray]
    batched: bool = True

    @property
    def rows(self) -> int:
        """The size of the batch axis; 1 if there is none."""
        sizes = [len(value) for value in self.tensors.values() if value.ndim]
        return sizes[0] if self.batched and sizes else 1

    @property
    def group(self) -> tuple:
        """Equal for calls that may run together."""
        shapes = tuple((name, v.shape[1:]) for name, v in sorted(self.tensors.items()))
        return (self.version, self.signature, shapes)


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer: the outputs, or HTTP's status and a message.

    Attributes:
        ran_with: Rows that ran at once, this call's among them.
    """

    outputs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    ran_with: int = 0
    status: int = 200
    error: str = ""


def answer(versions: Any, calls: Sequence[Call], most_rows: int) -> list[Reply]:
    """The reply to each call, whatever the others are.

    Args:
        versions: Has `loaded`, from a version's number to what runs its signatures.
        calls: Any number.
        most_rows: What may run at once.
    """
    replies: dict[int, Reply] = {}
    for batch in _batches(calls, most_rows):
        done = _run(versions, [calls[index] for index in batch])
        if len(batch) > 1 and done[0].error:
            done = [_run(versions, [calls[index]])[0] for index in batch]
        replies |= zip(batch, done, strict=True)
    return [replies[index] for index in range(len(calls))]


def _batches(calls: Sequence[Call], most_rows: int) -> Iterator[list[int]]:
    """The indices of the calls that run together."""
    open_batches: dict[tuple, list[int]] = {}
    rows: dict[tuple, int] = {}
    for index, call in enumerate(calls):
        if not call.batched:
            yield [index]
            continue
        group = call.group
        if group in open_batches and rows[group] + call.rows > most_rows:
            yield open_batches.pop(group)
        rows[group] = call.rows + (rows[group] if group in open_batches else 0)
        open_batches.setdefault(group, []).append(index)
    yield from open_batches.values()


def _run(versions: Any, calls: Sequence[Call]) -> list[Reply]:
    """One run for calls of one group: the outputs of each, or one error for all."""
    import tensorflow as tf

    first = calls[0]
    rows = sum(call.rows for call in calls)
    model = versions.loaded.get(first.version)
    if model is None:
        return [Reply(status=404, error="The version was unloaded.")] * len(calls)
    inputs = first.tensors
    if len(calls) > 1:
        inputs = {
            name: np.concatenate([call.tensors[name] for call in calls])
            for name in first.tensors
        }
    try:
        outputs = model.run(first.signature, inputs)
    except (
        tf.errors.InvalidArgumentError,
        tf.errors.FailedPreconditionError,
        tf.errors.OutOfRangeError,
        TypeError,
        ValueError,
    ) as error:
        return [Reply(status=400, error=readable(error))] * len(calls)
    except tf.errors.ResourceExhaustedError as error:
        return [Reply(status=503, error=readable(error))] * len(calls)
    except Exception as error:
        logger.exception("the model failed")
        return [Reply(status=500, error=readable(error))] * len(calls)
    if len(calls) == 1:
        return [Reply(outputs, rows)]
    if any(len(value) != rows for value in outputs.values()):
        # The model mixes its rows, whatever its signature says: each call by itself.
        return [Reply(status=500, error="batched")] * len(calls)
    ends = np.cumsum([call.rows for call in calls])
    return [
        Reply({name: v[end - call.rows : end] for name, v in outputs.items()}, rows)
        for call, end in zip(calls, ends, strict=True)
    ]


class BatchLoop(LitLoop):
    """Waits for a request, then takes all that are there: a busy model batches more.

    LitServe's own batched loop polls; an idle server would keep a core busy.
    """

    def run(
        self,
        lit_api: "Worker",
        device: str,
        worker_id: int,
        request_queue: Any,
        transport: Any,
        workers_setup_status: Any,
        callback_runner: Any,
    ) -> None:
        """Answers one batch; LitServe calls it again and again."""
        del device, worker_id, workers_setup_status, callback_runner
        try:
            # Not for ever: of a worker that was killed while it waited, the queue would
            # hand the next request to nobody.
            waiting = [request_queue.get(timeout=1)]
        except queue.Empty:
            return
        while len(waiting) < lit_api.max_batch_size:
            try:
                waiting.append(request_queue.get_nowait())
            except queue.Empty:
                break
        replies = lit_api.predict([call for *_, call in waiting])
        for (consumer, uid, _, _), reply in zip(waiting, replies, strict=True):
            self.put_response(
                transport, consumer, uid, reply, LitAPIStatus.OK, LoopResponseType.REGULAR
            )


class Worker(litserve.LitAPI):
    """The model, as LitServe runs it in a process of its own.

    Args:
        source: Where the versions are.
        keep: How many versions are served.
        state_file: Where the HTTP side reads which versions are loaded.
        most_rows: What may run at once.
        most_calls: Requests taken from the queue at once.
        reload_seconds: Between two looks at the folder.
    """

    def __init__(
        self,
        source: Source,
        keep: int,
        state_file: Path,
        most_rows: int,
        most_calls: int,
        reload_seconds: float,
    ) -> None:
        super().__init__(max_batch_size=most_calls, loop=BatchLoop())
        self._source = source
        self._keep = keep
        self._state_file = state_file
        self._most_rows = most_rows
        self._reload_seconds = reload_seconds

    def setup(self, device: str) -> None:
        """Loads the versions, in the worker's process.

        Raises:
            RuntimeError: If none loads; the state file says why.
        """
        del device  # TensorFlow finds its devices itself
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the HTTP side ends this process
        end_with_parent()
        from kerasdl.training.command import import_tensorflow

        import_tensorflow()
        from kerasdl.export.serving.versions import Versions

        self._versions = Versions(
            self._source,
            self._keep,
            lambda state: write_json(self._state_file, {**state, "worker": os.getpid()}),
        )
        self._versions.refresh()
        if not self._versions.loaded:
            logging.getLogger("litserve").setLevel(logging.CRITICAL)  # no traceback
            raise RuntimeError(self._versions.errors())
        threading.Thread(target=self._watch, daemon=True, name="versions").start()

    def predict(self, calls: Sequence[Call]) -> list[Reply]:
        """The reply to each call."""
        return answer(self._versions, calls, self._most_rows)

    def _watch(self) -> None:
        while True:
            time.sleep(self._reload_seconds)
            try:
                self._versions.refresh()
            except Exception:
                logger.exception("the versions could not be read anew")


def end_with_parent() -> None:
    """Ends this process soon after the one that started it, even if that was killed."""
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()
