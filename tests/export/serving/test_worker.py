"""The worker's side: versions come and go, batches are formed, faults stay alone."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from kerasdl.errors import InputError
from kerasdl.export.serving.source import Source
from kerasdl.export.serving.versions import LoadedVersion, Versions
from kerasdl.export.serving.warmup import FILE, read_warmup, write_warmup
from kerasdl.export.serving.worker import Call, answer


class Counting:
    """A loaded version that notes the rows of each run."""

    def __init__(self, loaded):
        self._loaded = loaded
        self.runs = []

    def run(self, signature, inputs):
        self.runs.append(sum(map(len, inputs.values())))
        return self._loaded.run(signature, inputs)


@pytest.fixture(scope="module")
def loaded(scaled):
    return LoadedVersion(scaled / "1")


@pytest.fixture
def model(loaded):
    return Counting(loaded)


@pytest.fixture
def versions(model):
    return SimpleNamespace(loaded={1: model})


def call(*ids, version=1):
    return Call(version, "ids", {"ids": np.array(ids, np.int32)})


def test_rows_of_several_requests_run_at_once(versions, model):
    replies = answer(versions, [call(1), call(2, 3), call(), call(4)], 64)
    assert [r.outputs["row"].tolist() for r in replies] == [[2], [4, 6], [], [8]]
    assert model.runs == [4] and {r.ran_with for r in replies} == {4}


def test_at_most_so_many_rows_run_at_once(versions, model):
    replies = answer(versions, [call(1, 2), call(3, 4), call(0)], 3)
    assert [r.outputs["row"].tolist() for r in replies] == [[2, 4], [6, 8], [0]]
    assert model.runs == [2, 3]


def test_other_signatures_shapes_and_versions_run_apart(versions, model, floats):
    calls = [
        call(1),
        Call(1, "serving_default", {"x": floats([1, 2, 3])}),
        call(1, version=7),
        Call(1, "mean", {"v": np.float32([1, 3])}, batched=False),
        Call(1, "mean", {"v": np.float32([3, 5])}, batched=False),
    ]
    replies = answer(versions, calls, 64)
    assert replies[0].outputs["row"].tolist() == [2]
    assert replies[1].outputs["y"].tolist() == [[2, 4, 6]]
    assert (replies[2].status, replies[2].error) == (404, "The version was unloaded.")
    assert [float(r.outputs["mean"]) for r in replies[3:]] == [2, 4]
    assert len(model.runs) == 4


def test_a_broken_request_is_refused_alone(versions):
    replies = answer(versions, [call(1), call(9), call(2), call(3, 9)], 64)
    assert [reply.status for reply in replies] == [200, 400, 200, 400]
    assert [replies[n].outputs["row"].tolist() for n in (0, 2)] == [[2], [4]]
    assert "ids of 0 to 4" in replies[1].error
    assert "{{" not in replies[1].error and "node" not in replies[1].error


def test_a_model_that_mixes_its_rows_is_asked_one_by_one():
    mixing = SimpleNamespace(run=lambda _, inputs: {"row": np.unique(inputs["ids"])})
    replies = answer(SimpleNamespace(loaded={1: mixing}), [call(1), call(1)], 64)
    assert [reply.outputs["row"].tolist() for reply in replies] == [[1], [1]]


@pytest.mark.parametrize(
    ("error", "status"), [(MemoryError("no room"), 500), (ValueError("shape"), 400)]
)
def test_what_the_model_raises_is_an_answer(error, status):
    def run(signature, inputs):
        raise error

    failing = SimpleNamespace(loaded={1: SimpleNamespace(run=run)})
    replies = answer(failing, [call(1), call(2)], 64)
    assert [(r.status, r.error) for r in replies] == [(status, str(error))] * 2


# ---- versions ----


def watched(folder, keep):
    states = []
    found = Versions(Source.find(folder), keep, states.append)
    found.refresh()
    return found, states


def test_versions_come_and_go(scaled, scaled_by_three, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(scaled, folder)
    found, states = watched(folder, 2)
    assert [*found.loaded] == [1]
    assert [s["states"]["1"][0] for s in states] == ["LOADING", "AVAILABLE"]
    before = found.loaded[1]
    found.refresh()
    assert len(states) == 2 and found.loaded[1] is before  # nothing is new

    shutil.copytree(scaled_by_three, folder / "2")
    shutil.copytree(scaled_by_three, folder / "10")
    found.refresh()
    assert sorted(found.loaded) == [2, 10]  # numbers, not names; two are kept
    assert states[-1]["states"]["1"] == ("END", "")
    # The old version served until both new ones did.
    assert all(s["states"]["1"][0] == "AVAILABLE" for s in states[2:-1])

    shutil.rmtree(folder / "10")
    found.refresh()
    assert sorted(found.loaded) == [1, 2]  # the one before is back
    shutil.rmtree(folder)
    folder.mkdir()
    found.refresh()
    assert sorted(found.loaded) == [1, 2]  # an emptied folder ends nothing


def test_a_version_that_does_not_load_leaves_the_others(scaled, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(scaled, folder)
    (folder / "2").mkdir()
    (folder / "2" / "saved_model.pb").write_bytes(b"no model")
    found, states = watched(folder, 1)
    assert [*found.loaded] == [1]
    state, error = states[-1]["states"]["2"]
    assert state == "END" and error and "version 2: " in found.errors()
    count = len(states)
    found.refresh()
    assert len(states) == count  # not tried again as it is
    shutil.copytree(scaled / "1", folder / "2", dirs_exist_ok=True)
    found.refresh()
    assert [*found.loaded] == [2]


def test_sources(scaled, tmp_path):
    assert Source.find(scaled).name == "scaled"
    one = Source.find(scaled / "1")
    assert one.versions() == {1: scaled / "1"} and one.name == "scaled"
    shutil.copytree(scaled / "1", tmp_path / "mine")
    mine = Source.find(tmp_path / "mine")
    assert mine.name == "mine" and [*mine.versions()] == [1]
    for wrong in ("", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="--model must be a SavedModel's folder"):
            Source.find(wrong)


# ---- warm-up requests ----


def test_warmup_requests_run_before_the_version_serves(scaled, tmp_path):
    shutil.copytree(scaled / "1", tmp_path / "1")
    write_warmup(tmp_path / "1", {"ids": np.array([1], np.int32)}, "ids")
    ((signature, inputs),) = read_warmup(tmp_path / "1")
    assert signature == "ids" and inputs["ids"].tolist() == [1]
    LoadedVersion(tmp_path / "1")
    write_warmup(tmp_path / "1", {"ids": np.array([9], np.int32)}, "ids")
    with pytest.raises(Exception, match="ids of 0 to 4"):  # so it did run
        LoadedVersion(tmp_path / "1")
    (tmp_path / "1" / FILE).write_bytes(b"this is no TFRecord")
    with pytest.raises(ValueError, match="expected a TFRecord of PredictionLog"):
        LoadedVersion(tmp_path / "1")


def test_exports_carry_a_warmup_request(saved_model):
    ((signature, inputs),) = read_warmup(saved_model[0])
    assert signature == "serving_default"
    (picture,) = inputs["image_bytes"]
    assert picture.startswith(b"\x89PNG")
    assert str(FILE) in saved_model[1]["files"]


def test_warmup_is_what_tensorflow_serving_reads(tmp_path):
    serving = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    import tensorflow as tf

    pictures = np.array([b"\x89PNG", b"\xff\xd8"], object)
    write_warmup(tmp_path, {"image_bytes": pictures})
    (record,) = tf.data.TFRecordDataset(str(tmp_path / FILE))
    log = serving.PredictionLog.FromString(record.numpy())
    request = log.predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert [*request.inputs] == ["image_bytes"]
    found = tf.make_ndarray(request.inputs["image_bytes"])
    assert found.tolist() == pictures.tolist()
    assert not request.DiscardUnknownFields()  # every field is one of its own
