"""The names that TensorFlow and Keras do not make public, each with its reason.

They may move with any release, which is why setup.cfg bounds the two;
tests/test_tensorflow_private.py tries each of them.
"""

from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import forwardprop_util, record
from tensorflow.python.framework import ops
from tensorflow.python.ops import control_flow_util
from tensorflow.python.saved_model import fingerprinting_utils, save_context

# The messages of a SavedModel's file and of a tensor in it.
SavedModel = saved_model_pb2.SavedModel
TensorProto = tensor_pb2.TensorProto


def gradient_may_be_taken() -> bool:
    """Returns whether a `tf.GradientTape` is recording now.

    What a backward pass needs is worth keeping only then. (A tape around a
    `tf.function`, opened after that function was traced, is not seen: the backward pass
    still has to be right without anything kept.)
    """
    return record.could_possibly_record()


def has_tangent(tensors: Sequence[tf.Tensor]) -> bool:
    """Returns whether a `tf.autodiff.ForwardAccumulator` follows any of the tensors."""
    return bool(forwardprop_util.pack_tangents(list(tensors)).tangents)


def in_xla() -> bool:
    """Returns whether what is traced now will be compiled with XLA."""
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


def in_saved_model() -> bool:
    """Returns whether what is traced now becomes part of a SavedModel."""
    return save_context.in_save_context()


def forget_gradients(function: Callable) -> None:
    """Lets the memory of a traced function that is only called forward be freed.

    In a graph, `tf.custom_gradient` puts its backward pass into a table of TensorFlow's
    that forgets nothing: every function ever traced stays, with its variables, 4 MB for
    each text classifier loaded.

    Args:
        function: A `tf.function` with an input signature. It cannot be differentiated
            afterwards.
    """
    for node in nodes_of(function.get_concrete_function().graph.as_graph_def()):
        name = node.attr["_gradient_op_type"].s.decode()
        if name.startswith("CustomGradient-"):
            ops.gradient_registry._registry.pop(name, None)


def nodes_of(graph: tf.compat.v1.GraphDef) -> Iterator:
    """Gives the nodes of a graph and of its functions' bodies."""
    yield from graph.node
    for body in graph.library.function:
        yield from body.node_def


def write_fingerprint(folder: str) -> None:
    """Writes the fingerprint of a SavedModel whose graph was changed on the disk."""
    fingerprinting_utils.write_fingerprint(folder)


def trained_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the variables that a built optimizer moves, by which it can be checked."""
    return list(optimizer._trainable_variables)


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the average of each of `trained_variables`, of an optimizer with `use_ema`.

    Keras gives them to the model at the end of `fit` alone.
    """
    return list(optimizer._model_variables_moving_average)


def variable_index(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable
) -> int:
    """Returns the place of a variable among `trained_variables`."""
    return optimizer._get_variable_index(variable)


def is_decayed(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Returns whether an optimizer's weight decay, if it has one, is for a variable."""
    return optimizer._use_weight_decay(variable)
