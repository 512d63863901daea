"""TFLite files that tests write by hand, with the classes of the file's own schema."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

ADD, WHILE = schema.BuiltinOperator.ADD, schema.BuiltinOperator.WHILE


def tensor(name, shape, buffer=0, kind=schema.TensorType.FLOAT32):
    made = schema.TensorT()
    made.name, made.shape = name, np.array(shape, np.int32)
    made.buffer, made.type = buffer, kind
    return made


def operator(inputs, outputs, code=0):
    made = schema.OperatorT()
    made.opcodeIndex = code
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    if code == 0:
        made.builtinOptionsType = schema.BuiltinOptions.AddOptions
        made.builtinOptions = schema.AddOptionsT()
    return made


def graph(tensors, operators, inputs, outputs):
    made = schema.SubGraphT()
    made.tensors, made.operators = tensors, operators
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return made


def named(name, index):
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name, index
    return made


def adder():
    """x + (1, 2, 3) for x (3,), as objects that a test may change before `packed`."""
    model = schema.ModelT()
    model.version = 3
    codes = []
    for code in (ADD, WHILE):
        codes.append(schema.OperatorCodeT())
        codes[-1].builtinCode, codes[-1].deprecatedBuiltinCode = code, code
        codes[-1].version = 1
    model.operatorCodes = codes
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(np.float32([1, 2, 3]).tobytes(), np.uint8)
    tensors = [tensor("x", (3,)), tensor("one", (3,), 1), tensor("y", (3,))]
    model.subgraphs = [graph(tensors, [operator([0, 1], [2])], [0], [2])]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [named("x", 0)], [named("y", 2)]
    model.signatureDefs = [signature]
    return model


def packed(model):
    """The bytes of a model."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _only(model, code, inputs, outputs=(2,)):
    """Makes the operator that runs the model's only one."""
    model.operatorCodes[1].builtinCode = code
    model.operatorCodes[1].deprecatedBuiltinCode = code
    model.subgraphs[0].operators = [operator(inputs, outputs, code=1)]


def killer():
    """A model of sound structure that crashes LiteRT."""
    model = adder()
    _only(model, schema.BuiltinOperator.SPLIT, [0, 1])  # whose kernel needs options
    return model


def filler():
    """A model of sound structure that takes 32 GB."""
    model = adder()
    model.buffers[1].data = np.frombuffer(np.int32([2**20, 2**9, 16]).tobytes(), np.uint8)
    model.subgraphs[0].tensors[1].type = schema.TensorType.INT32
    model.subgraphs[0].tensors[0].shape = np.zeros(0, np.int32)  # FILL takes a scalar
    _only(model, schema.BuiltinOperator.FILL, [1, 0])
    return model
