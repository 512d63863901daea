"""Requests a second of a server on TensorFlow Serving's REST paths, ours or that one.

    python -m kerasdl.export.serve --model=served/captioner --port=8501 &
    python benchmarks/serving.py --url=http://127.0.0.1:8501/v1/models/captioner \
        --input=pictures/*.jpg

Each client keeps its connection and sends one input after the other; `--text` sends the
lines of files instead of their bytes. Every answer is compared with the first one to the
same input. Prints one line.
"""

import argparse
import base64
import concurrent.futures
import http.client
import itertools
import json
import pathlib
import statistics
import time
import urllib.parse


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", required=True, help="of the model, without :predict")
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--text", action="store_true", help="the lines of the files")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=1000)
    given = parser.parse_args()

    files = [pathlib.Path(name) for name in given.input]
    if given.text:
        rows = [line for file in files for line in file.read_text().splitlines() if line]
    else:
        rows = [{"b64": base64.b64encode(f.read_bytes()).decode()} for f in files]
    bodies = [json.dumps({"instances": [row]}).encode() for row in rows]
    numbers = itertools.count()
    first: dict[int, str] = {}

    def client(url: urllib.parse.ParseResult) -> list[tuple[float, bool]]:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=120)
        seconds = []
        while (number := next(numbers)) < given.requests:
            which = number % len(bodies)
            begin = time.perf_counter()
            connection.request("POST", f"{url.path}:predict", bodies[which])
            response = connection.getresponse()
            told = json.loads(response.read()).get("predictions", [None])[0]
            label = told.get("label", told.get("caption")) if told else None
            same = first.setdefault(which, label) == label is not None
            seconds.append((time.perf_counter() - begin, same))
        return seconds

    url = urllib.parse.urlparse(given.url)
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(given.clients) as pool:
        answers = [*itertools.chain(*pool.map(client, [url] * given.clients))]
    rate = len(answers) / (time.perf_counter() - begin)
    seconds = [1e3 * took for took, _ in answers]
    print(
        f"{rate:.0f} requests/s, {given.clients} clients, {len(answers)} requests, "
        f"{sum(not same for _, same in answers)} wrong; median "
        f"{statistics.median(seconds):.0f} ms, p99 "
        f"{statistics.quantiles(seconds, n=100)[98]:.0f} ms"
    )


if __name__ == "__main__":
    main()
