"""What `check_tflite` refuses: contradictions, and what crashes the interpreter."""

import os

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdl.errors import InputError
from kerasdl.weights import tflite
from kerasdl.weights.damage import Damaged
from kerasdl.weights.tflite import check_structure, check_tflite
from tests.weights import files
from tests.weights.files import written
from tests.weights.tflite_files import (
    adder,
    filler,
    graph,
    killer,
    operator,
    packed,
    tensor,
)


def test_a_whole_file_passes(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    path = written(tmp_path, packed(adder()) + b"PK a zip may follow")
    check_structure(path.read_bytes())
    check_tflite(path)
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    np.testing.assert_array_equal(runner(x=np.float32([0, 0, 1]))["y"], [1, 2, 4])


def main(model):
    return model.subgraphs[0]


def shorter_buffer(model):
    model.buffers[1].data = model.buffers[1].data[:8]


def longer_shape(model):
    main(model).tensors[1].shape = np.array([1 << 20], np.int32)


def negative_side(model):
    main(model).tensors[1].shape = np.array([-3], np.int32)


def huge_shape(model):
    main(model).tensors[2].shape = np.array([2**31 - 1] * 3, np.int32)


def unknown_type(model):
    main(model).tensors[2].type = 99


def no_such_buffer(model):
    main(model).tensors[1].buffer = 7


def buffer_past_the_end(model):
    model.buffers[1] = schema.BufferT()
    model.buffers[1].offset, model.buffers[1].size = 64, 1 << 40


def no_such_operator(model):
    main(model).operators[0].opcodeIndex = 9


def no_such_input(model):
    main(model).operators[0].inputs = np.array([0, 3], np.int32)


def negative_input(model):
    main(model).operators[0].inputs = np.array([0, -2], np.int32)


def no_such_output(model):
    main(model).operators[0].outputs = np.array([-1], np.int32)


def no_such_intermediate(model):
    main(model).operators[0].intermediates = np.array([9], np.int32)


def unwritten(model):
    main(model).tensors.append(tensor("nobody", (3,)))
    main(model).operators[0].inputs = np.array([0, 3], np.int32)


def overwritten(model):
    main(model).operators[0].outputs = np.array([1], np.int32)


def no_such_graph_output(model):
    main(model).outputs = np.array([5], np.int32)


def unwritten_graph_output(model):
    main(model).tensors.append(tensor("nobody", (3,)))
    main(model).outputs = np.array([3], np.int32)


def no_graph(model):
    model.subgraphs = []


def scales(model):
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.ones(2, np.float32)
    quantization.zeroPoint = np.zeros(2, np.int64)
    main(model).tensors[1].quantization = quantization


def endless_scale(model):
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.float32([np.nan])
    quantization.zeroPoint = np.zeros(1, np.int64)
    main(model).tensors[1].quantization = quantization


def _loop(model, cond, body):
    made = operator([0], [2], code=1)
    made.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    made.builtinOptions = schema.WhileOptionsT()
    made.builtinOptions.condSubgraphIndex = cond
    made.builtinOptions.bodySubgraphIndex = body
    main(model).operators = [made]


def no_such_body(model):
    _loop(model, 0, 4)


def recursion(model):
    _loop(model, 1, 0)
    model.subgraphs.append(graph([tensor("c", (3,))], [], [0], [0]))


def signature_of_no_graph(model):
    model.signatureDefs[0].subgraphIndex = 3


def signature_of_no_tensor(model):
    model.signatureDefs[0].inputs[0].tensorIndex = 30


def metadata_of_no_buffer(model):
    entry = schema.MetadataT()
    entry.name, entry.buffer = "m", 5
    model.metadata = [entry]


def another_file(model):
    group = schema.ExternalBufferGroupT()
    group.name = "/etc/passwd"
    model.externalBufferGroups = [group]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shorter_buffer, "0:1 of shape (3,) and type FLOAT32 needs 12 bytes, its buffer"),
        (longer_shape, "needs 4194304 bytes, its buffer has 12"),
        (negative_side, "of shape (-3,)"),
        (huge_shape, "is too large"),
        (unknown_type, "is of type 99, which is unknown"),
        (no_such_buffer, "tensor 0:1 names number 7 of 2"),
        (buffer_past_the_end, "a buffer ends at byte"),
        (no_such_operator, "operator 0:0 names number 9 of 2"),
        (no_such_input, "operator 0:0 names number 3 of 3"),
        (negative_input, "operator 0:0 names number -2 of 3"),
        (no_such_output, "operator 0:0 names number -1 of 3"),
        (no_such_intermediate, "operator 0:0 names number 9 of 3"),
        (unwritten, "operator 0:0 reads tensor 3, which nothing wrote"),
        (overwritten, "operator 0:0 writes tensor 1, which has a value"),
        (no_such_graph_output, "graph 0 names number 5 of 3"),
        (unwritten_graph_output, "graph 0 returns tensor 3, which nothing wrote"),
        (no_graph, "it has no graph"),
        (scales, "tensor 0:1 has 2 scales and 2 zero points"),
        (endless_scale, "a scale that is not finite"),
        (no_such_body, "operator 0:0 names number 4 of 1"),
        (recursion, "graph 0 calls itself"),
        (signature_of_no_graph, "signature names number 3 of 1"),
        (signature_of_no_tensor, "signature names number 30 of 3"),
        (metadata_of_no_buffer, "metadata names number 5 of 2"),
        (another_file, "its buffers are in another file"),
    ],
)
def test_contradictions(change, message):
    model = adder()
    change(model)
    with pytest.raises(Damaged) as caught:
        check_structure(packed(model))
    assert message in str(caught.value)


def test_the_child_refuses_in_one_line(tmp_path):
    model = adder()
    unwritten(model)
    message = files.refusal(check_tflite, written(tmp_path, packed(model)))
    assert (
        "not a model that LiteRT can run: operator 0:0 reads tensor 3, which nothing"
        in message
    )
    message = files.refusal(check_tflite, written(tmp_path, b"no flatbuffer at all"))
    assert "expected b'TFL3' at byte 4" in message
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="expected a regular file"):
        check_tflite(tmp_path / "fifo")


def test_a_file_that_kills_the_interpreter_is_one_line(tmp_path):
    model = killer()
    check_structure(packed(model))
    message = files.refusal(check_tflite, written(tmp_path, packed(model)))
    assert "it ends the process that reads it (SIGSEGV)" in message


def test_a_file_that_fills_the_memory_is_one_line(tmp_path):
    model = filler()
    check_structure(packed(model))
    message = files.refusal(check_tflite, written(tmp_path, packed(model)))
    assert "not a model that LiteRT can run: it gives no reason" in message


def test_objects_are_counted(monkeypatch):
    monkeypatch.setattr(tflite, "MAX_OBJECTS", 5)
    with pytest.raises(Damaged, match="more than 5 tensors, operators and buffers"):
        check_structure(packed(adder()))


def test_every_truncation_is_refused_or_whole():
    data = packed(adder())
    for length in range(len(data)):
        try:
            check_structure(data[:length])
        except Damaged:
            continue


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=4
    )
)
@settings(max_examples=200, deadline=None)
def test_damage_never_raises_anything_else(changes):
    data = bytearray(packed(adder()))
    for place, octet in changes:
        data[place % len(data)] = octet
    try:
        check_structure(bytes(data))
    except Damaged as error:
        assert len(str(error)) < 1000
