"""The HTTP side in this process, the worker's side behind it."""

import asyncio
import base64
import io
import json
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image
from starlette.testclient import TestClient

from kerasdl.export.serving.options import Options
from kerasdl.export.serving.routes import Service
from kerasdl.export.serving.state import State
from kerasdl.export.serving.versions import LoadedVersion
from kerasdl.export.serving.worker import Reply, answer
from kerasdl.files import write_json

PREDICT = "/v1/models/scaled:predict"


def client_of(folder, versions, *, ask=None, name="scaled", **options):
    """A client of a server of these loaded versions."""
    models = {str(v): loaded.metadata for v, loaded in versions.items()}
    states = {str(v): ("AVAILABLE", "") for v in versions} | {"7": ("END", "damaged")}
    path = folder / "state.json"
    write_json(path, {"states": states, "models": models})
    options = Options(**{"max_batch": 4, **options})

    async def ask_here(call):
        return answer(SimpleNamespace(loaded=versions), [call], options.max_batch)[0]

    service = Service(State(path, name), ask or ask_here, options)
    return TestClient(service.app(), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def versions(scaled, scaled_by_three):
    return {2: LoadedVersion(scaled / "1"), 10: LoadedVersion(scaled_by_three)}


@pytest.fixture(scope="module")
def client(versions, tmp_path_factory):
    return client_of(tmp_path_factory.mktemp("state"), versions)


def test_the_newest_version_answers_unless_one_is_named(client):
    request = {"instances": [[1, 2, 3]]}
    newest = client.post(PREDICT, json=request)
    assert newest.status_code == 200
    assert newest.json() == {"predictions": [{"total": 6.0, "y": [3.0, 6.0, 9.0]}]}
    named = client.post("/v1/models/scaled/versions/2:predict", json=request)
    assert named.json() == {"predictions": [{"total": 6.0, "y": [2.0, 4.0, 6.0]}]}
    columns = client.post(PREDICT, json={"inputs": {"x": [[1, 2, 3]]}})
    assert columns.json() == {"outputs": {"total": [6.0], "y": [[3.0, 6.0, 9.0]]}}


def test_other_signatures(client):
    def ask(signature, **request):
        return client.post(PREDICT, json={"signature_name": signature, **request})

    rows = ask("two", instances=[{"a": 7, "b": {"b64": "aGk="}}])
    assert rows.json() == {"predictions": [{"a_bytes": {"b64": "Nw=="}, "b": "hi!"}]}
    assert ask("mean", inputs=[1, 2, 6]).json() == {"outputs": 3.0}
    assert ask("ids", instances=[]).json() == {"predictions": []}
    assert ask("ids", inputs=[]).json() == {"outputs": []}
    assert client.post(PREDICT, json={"instances": []}).json() == {"predictions": []}


def test_status_and_metadata_in_tensorflow_servings_form(client, scaled):
    fine = {"error_code": "OK", "error_message": ""}
    damaged = {"error_code": "UNKNOWN", "error_message": "damaged"}
    status = client.get("/v1/models/scaled").json()["model_version_status"]
    assert status == [
        {"version": "10", "state": "AVAILABLE", "status": fine},
        {"version": "7", "state": "END", "status": damaged},
        {"version": "2", "state": "AVAILABLE", "status": fine},
    ]
    one = client.get("/v1/models/scaled/versions/2").json()["model_version_status"]
    assert one == [{"version": "2", "state": "AVAILABLE", "status": fine}]

    told = client.get("/v1/models/scaled/versions/2/metadata").json()
    assert told["model_spec"] == {"name": "scaled", "signature_name": "", "version": "2"}
    definitions = told["metadata"]["signature_def"]["signature_def"]
    default = definitions["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert default["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}],
        "unknown_rank": False,
    }
    newest = client.get("/v1/models/scaled/metadata").json()
    assert newest["model_spec"]["version"] == "10"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/other", 404, "Servable not found for request: Latest(other)"),
        ("POST", "/v1/models/other:predict", 404, "Latest(other)"),
        ("POST", "/v1/models/scaled/versions/3:predict", 404, "Specific(scaled, 3)"),
        ("POST", "/v1/models/scaled/versions/7:predict", 404, "Specific(scaled, 7)"),
        ("GET", "/v1/models/scaled/versions/3", 404, "Specific(scaled, 3)"),
        ("GET", "/v1/models/scaled/versions/7/metadata", 404, "Specific(scaled, 7)"),
        ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT}"),
        ("POST", "/v1/models/scaled:classify", 400, "Malformed request"),
        ("POST", "/v1/models/scaled", 400, "Malformed request"),
        ("PATCH", "/v1/models/scaled", 400, "Malformed request: PATCH"),
        ("GET", "/v1/nonsense", 400, "Malformed request"),
        ("GET", "/nonsense", 404, "Malformed request"),
        ("POST", "/", 404, "Malformed request"),
        ("GET", "/assets/../setup.cfg", 404, ""),
        ("GET", "/assets/device.js", 404, "There is no /assets/device.js"),
    ],
)
def test_paths_that_lead_nowhere(client, method, path, status, message):
    told = client.request(method, path)
    assert told.status_code == status and message in told.json()["error"]


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        ({"instances": [[1, 2]]}, "expected the shape [?, 3], got [1, 2]"),
        ({"instances": [[1, 2, 3]] * 5}, "has 5 rows; at most 4"),
        ({"inputs": [[1, 2, 3]] * 5}, "has 5 rows; at most 4"),
        ({"signature_name": "none", "inputs": 1}, "'none' not found; there is ids, mean"),
        ({"signature_name": "ids", "instances": [9]}, "ids of 0 to 4"),
        (
            {"signature_name": "two", "inputs": {"a": [1], "b": []}},
            "of rows: [0, 1]",
        ),
        ({"signature_name": "mean", "instances": [1.0]}, "no common batch axis"),
    ],
)
def test_what_the_model_does_not_take_is_the_clients_fault(client, request_body, message):
    told = client.post(PREDICT, json=request_body)
    assert told.status_code == 400 and message in told.json()["error"]


def test_bodies_are_bounded(versions, tmp_path):
    client = client_of(tmp_path, versions, max_body_mib=1)
    big = client.post(PREDICT, content=b" " * (1 << 20) + b"{}")
    assert big.status_code == 413 and "larger than 1 MiB" in big.json()["error"]
    # In pieces, of a length that nobody told.
    pieces = client.post(PREDICT, content=(b" " * 65536 for _ in range(17)))
    assert pieces.status_code == 413
    lie = client.post(PREDICT, content=b"{}", headers={"content-length": "9" * 30})
    assert lie.status_code == 413
    packed = client.post(PREDICT, content=b"{}", headers={"content-encoding": "gzip"})
    assert packed.status_code == 415


def test_too_many_waiting_requests_are_told_to_come_again(versions, tmp_path):
    client = client_of(tmp_path, versions, max_waiting=0)
    told = client.post(PREDICT, json={"instances": [[1, 2, 3]]})
    assert told.status_code == 429 and told.headers["retry-after"] == "1"
    assert "try again later" in told.json()["error"]


def test_an_answer_that_does_not_come_is_504(versions, tmp_path):
    async def never(call):
        await asyncio.sleep(60)

    client = client_of(tmp_path, versions, ask=never, timeout=1)
    told = client.post(PREDICT, json={"instances": [[1, 2, 3]]})
    assert told.status_code == 504 and "within 1 seconds" in told.json()["error"]


def test_a_worker_that_ends_answers_with_503(versions, tmp_path):
    async def end(call):
        state = json.loads((tmp_path / "state.json").read_text())
        write_json(tmp_path / "state.json", {**state, "worker": 2})
        await asyncio.sleep(60)

    client = client_of(tmp_path, versions, ask=end)
    told = client.post(PREDICT, json={"instances": [[1, 2, 3]]})
    assert told.status_code == 503 and "was started again" in told.json()["error"]


def test_health_and_metrics(versions, tmp_path):
    empty = client_of(tmp_path, {})
    assert empty.get("/health").status_code == 503
    assert empty.get("/v1/models/scaled/metadata").status_code == 404
    client = client_of(tmp_path, versions)
    assert (client.get("/health").status_code, client.get("/health").text) == (200, "ok")
    client.post(PREDICT, json={"instances": [[1, 2, 3], [4, 5, 6]]})
    client.post(PREDICT, json={"instances": [[1]]})
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        told = client.get(path).text
        assert 'kerasdl_requests_total{code="200"} 1.0' in told
        assert 'kerasdl_requests_total{code="400"} 1.0' in told
        assert "kerasdl_rows_total 2.0" in told
        assert 'kerasdl_version_available{model="scaled",version="10"} 1.0' in told
        assert 'kerasdl_version_available{model="scaled",version="7"} 0.0' in told


def test_the_page_and_what_it_loads(versions, tmp_path):
    client = client_of(tmp_path, versions, name='<b>"x"')
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>&lt;b&gt;&quot;x&quot;</h1>" in page.text and "$" not in page.text
    for name in ("page.css", "page.js", "server.js"):
        assert f"assets/{name}" in page.text or name == "page.js"
        assert client.get(f"/assets/{name}").status_code == 200


# ---- pictures ----


def picture(kind, size=(6, 4), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size, 1 if mode == "1" else "red").save(file, kind)
    return file.getvalue()


@pytest.fixture
def picture_client(tmp_path):
    """A server of a captioner that notes what it is given."""
    strings = {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1"}]}}
    definition = {"inputs": {"image_bytes": strings}, "outputs": {"caption": strings}}
    metadata = {"signatures": {"serving_default": definition}, "job": "captioning"}
    given = []

    async def ask(call):
        given.append(call.tensors["image_bytes"])
        return Reply({"caption": np.array([b"red"] * call.rows, object)}, call.rows)

    versions = {1: SimpleNamespace(metadata=metadata)}
    client = client_of(tmp_path, versions, ask=ask, max_megapixels=1)

    def send(*pictures):
        rows = [{"b64": base64.b64encode(data).decode()} for data in pictures]
        return client.post(PREDICT, json={"instances": rows})

    return send, given


def test_pictures_that_tensorflow_reads_pass_and_others_become_png(picture_client):
    send, given = picture_client
    jpeg, bmp = picture("JPEG"), picture("BMP")
    assert send(jpeg, bmp).json() == {"predictions": ["red", "red"]}
    passed, converted = given[0]
    assert passed == jpeg and converted.startswith(b"\x89PNG")


def test_broken_and_large_pictures_are_refused_by_place(picture_client):
    send, given = picture_client
    fine = picture("PNG")
    for broken, message in [
        (b"", "picture 1: expected a picture, got an empty file."),
        (b"no picture", "picture 1: expected"),
        (picture("JPEG")[:200], "picture 1: expected a whole picture"),
        (picture("PNG", (2000, 1000)), "2000 x 1000 pixels; at most 1 megapixels"),
        (picture("PNG", (8000, 8000), "1"), "8000 x 8000 pixels"),
    ]:
        told = send(fine, broken)
        assert told.status_code == 400 and message in told.json()["error"], told.text
    assert not given


# ---- anything at all ----

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "x", "b64"]), inner, max_size=3)
    ),
    max_leaves=12,
)
_PATH_CHARACTERS = st.characters(
    codec="utf-8", min_codepoint=32, exclude_characters="?#\x7f"
)
_BODIES = st.one_of(
    st.binary(max_size=50),
    st.fixed_dictionaries(
        {},
        optional={
            "instances": _JSON,
            "inputs": _JSON,
            "signature_name": st.sampled_from(["two", "ids", "mean", "?"]) | _JSON,
        },
    ).map(lambda value: json.dumps(value).encode()),
    _JSON.map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=_BODIES)
def test_no_body_is_answered_with_a_fault_of_the_server(client, body):
    told = client.post(PREDICT, content=body)
    assert told.status_code in (200, 400)
    assert ("error" in told.json()) == (told.status_code == 400)


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    path=st.text(
        st.characters(codec="utf-8", min_codepoint=32, exclude_characters="?#\x7f"),
        max_size=20,
    ),
)
def test_no_path_is_answered_with_a_fault_of_the_server(client, method, path):
    told = client.request(method, f"/v1/models/scaled{path}")
    assert told.status_code < 500
