"""Runs an exported model on stored cases: a program of its own, without kerasdl.

For a `.tflite` file it needs ai-edge-litert and NumPy alone, for an `.onnx` file
onnxruntime, for a SavedModel TensorFlow.
`run_cases` starts it as a process, or has fork_server.py do so, which has TensorFlow
already, so that what it finds is what another machine finds.
"""

import contextlib
import importlib
import json
import os
import sys
import time

import numpy as np

# Seconds and calls that measuring a latency takes at most, after two calls to warm up.
_SECONDS, _CALLS = 1.0, 200


def pack(arrays, key, value):
    """Puts an array into what `np.savez` writes; strings of bytes one after another."""
    if value.dtype == object:
        arrays[f"{key}|lengths"] = np.array([len(text) for text in value], np.int64)
        value = np.frombuffer(b"".join(value), np.uint8)
    arrays[key] = value


def unpack(arrays, key):
    """Takes an array out again, wherever `pack` put it."""
    value, lengths = arrays[key], f"{key}|lengths"
    if lengths not in arrays:
        return value
    ends = np.cumsum(arrays[lengths])
    texts = [
        value[end - n : end].tobytes()
        for n, end in zip(arrays[lengths], ends, strict=True)
    ]
    result = np.empty(len(texts), object)
    result[:] = texts
    return result


class _Device:
    def __init__(self, path, threads=None):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(path, num_threads=threads)
        self._runners = {}

    def run(self, signature, inputs):
        if signature not in self._runners:
            runner = self._interpreter.get_signature_runner(signature)
            self._runners[signature] = runner
        # Without a copy the result lies in memory that the next call writes to.
        outputs = self._runners[signature](**inputs)
        return {name: np.array(value) for name, value in outputs.items()}

    def signatures(self):
        def specs(details):
            return {
                name: {
                    "dtype": np.dtype(detail["dtype"]).name,
                    "shape": detail["shape_signature"].tolist(),
                }
                for name, detail in sorted(details.items())
            }

        return {
            name: {
                "inputs": specs(runner.get_input_details()),
                "outputs": specs(runner.get_output_details()),
            }
            for name in self._interpreter.get_signature_list()
            for runner in [self._interpreter.get_signature_runner(name)]
        }

    def delegated(self):
        """How many of the main graph's nodes run in XNNPACK or one by one."""
        names = [op["op_name"] for op in self._interpreter._get_ops_details()]
        delegates = [name for name in names if name.startswith("DELEGATE")]
        return {"partitions": len(delegates), "nodes": len(names)}


class _Onnx:
    def __init__(self, path, threads=None):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, signature, inputs):
        del signature
        return dict(zip(self._names, self._session.run(None, inputs), strict=True))

    def signatures(self):
        def specs(nodes):
            # "tensor(float)" and the like
            kinds = {"float": "float32", "double": "float64"}
            types = {node.name: node.type[7:-1] for node in nodes}
            return {
                node.name: {
                    "dtype": kinds.get(types[node.name], types[node.name]),
                    "shape": [s if isinstance(s, int) else -1 for s in node.shape],
                }
                for node in sorted(nodes, key=lambda node: node.name)
            }

        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return {"serving_default": {"inputs": specs(inputs), "outputs": specs(outputs)}}


class _Served:
    def __init__(self, path, threads=None):
        import tensorflow as tf

        del threads
        self._tf = tf
        self._model = tf.saved_model.load(path)

    def run(self, signature, inputs):
        function = self._model.signatures[signature]
        _, specs = function.structured_input_signature
        tensors = {
            name: self._tf.constant(value.tolist(), specs[name].dtype)
            if value.dtype == object
            else self._tf.constant(value, specs[name].dtype)
            for name, value in inputs.items()
        }
        return {name: value.numpy() for name, value in function(**tensors).items()}

    def signatures(self):
        def specs(tensors):
            return {
                name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
                for name, spec in sorted(tensors.items())
            }

        return {
            name: {
                "inputs": specs(function.structured_input_signature[1]),
                "outputs": specs(function.structured_outputs),
            }
            for name, function in self._model.signatures.items()
        }


def _latencies(models, signature, inputs):
    """Of several models, run in turns, so that a busy machine is busy for all."""
    for model in models * 2:
        model.run(signature, inputs)
    times, end = [], time.perf_counter() + _SECONDS * len(models)
    while len(times) < 5 or (time.perf_counter() < end and len(times) < _CALLS):
        times.append([])
        for model in models:
            start = time.perf_counter()
            model.run(signature, inputs)
            times[-1].append(1e3 * (time.perf_counter() - start))
    return [
        {
            "median_ms": round(float(np.median(column)), 4),
            "p99_ms": round(float(np.percentile(column, 99)), 4),
            "calls": len(column),
        }
        for column in np.transpose(times)
    ]


def run(task):
    """Runs a task of `run_cases`, writes the outputs, and returns a report."""
    for module in task["needs"]:
        importlib.import_module(module)
    kind = _Onnx if task["model"].endswith(".onnx") else _Device
    kind = _Served if os.path.isdir(task["model"]) else kind
    model = kind(task["model"])
    # The details are those of the file, before any call gave shapes.
    report = {"signatures": model.signatures()}
    outputs, last, first = {}, {}, None
    with np.load(task["cases"]) as arrays:
        for index, case in enumerate(task["order"]):
            inputs = {
                name: unpack(arrays, f"{index}/in/{name}") for name in case["inputs"]
            }
            for name, dtype in case["inputs"].items():
                inputs[name] = inputs[name].astype(dtype or inputs[name].dtype)
            # What a case does not give, the call before it has left: a state.
            carried = {name: last[name] for name in case.get("carried", ())}
            inputs |= carried
            last = model.run(case["signature"], inputs)
            first = first or (case["signature"], inputs)
            for name, value in last.items():
                pack(outputs, f"{index}/out/{name}", np.asarray(value))
    np.savez(task["outputs"], **outputs)
    if task["latency"]:
        counts = (0,) if kind is _Served else (1, 2)
        files = [task["model"], *task.get("beside", ())]
        threads, beside = {}, {}
        for count in counts:
            figures = _latencies([kind(file, count) for file in files], *first)
            threads[str(count or "all")] = figures[0]
            if files[1:]:
                beside[str(count)] = figures[1]
        report["latency"] = {**next(iter(threads.values())), "threads": threads}
        if beside:
            report["latency"]["stock"] = {"threads": beside}
    if kind is _Device:
        fresh = kind(task["model"])
        with contextlib.suppress(Exception):
            fresh.run(*first)
            report["xnnpack"] = fresh.delegated()
    return report


def main():
    """Reads the task from standard input and writes the report to standard output."""
    # Only the report may reach standard output, and libraries write there.
    report_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump(run(json.load(sys.stdin)), report_to)
    report_to.close()


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
