"""One way of attaching a hand-derived backward pass to a forward pass."""

import tensorflow as tf

# No public name tells of active tapes or of forward-mode differentiation, or removes a
# gradient.
from tensorflow.python.eager import forwardprop_util, record
from tensorflow.python.framework import ops


def with_backward(forward, backward, equations=None):
    """Joins a forward pass and its hand-derived backward pass into one function.

    The first derivative is `backward`, on what `forward` saved. A derivative of that
    derivative exists too and is exact: it differentiates the *equations* of the backward
    pass, evaluated again with everything they take from the forward pass as functions of
    the inputs. (A plain `tf.custom_gradient` would treat the saved activations as
    constants, and give wrong second derivatives without a word.)

    In forward mode (`tf.autodiff.ForwardAccumulator`) TensorFlow differentiates the
    equations itself, operation by operation: it would otherwise take the product with the
    tangents from a tape inside a tape, which records nothing there.

    Args:
        forward: (*inputs) -> (outputs, saved); `outputs` a list of tensors, `saved` any
            structure of tensors.
        backward: (inputs, saved, gradients) -> list of the gradients of `inputs`, each
            of the shape of its input; `inputs` and `gradients` are lists, the latter
            parallel to `outputs`.
        equations: (forward, backward) for TensorFlow to differentiate, if they are
            others: it cannot differentiate what is compiled.

    Returns:
        A function (*inputs) -> list of outputs, for tensors (not variables).
    """

    plain_forward, plain_backward = equations or (forward, backward)

    @tf.custom_gradient
    def function(*inputs):
        outputs, saved = forward(*map(tf.stop_gradient, inputs))

        def gradient(*output_gradients):
            if has_tangent(output_gradients):
                _, saved_again = plain_forward(*inputs)
                return plain_backward(list(inputs), saved_again, list(output_gradients))

            @tf.custom_gradient
            def first_order(*arguments):
                cut = [tf.stop_gradient(argument) for argument in arguments]
                gradients = backward(cut[: len(inputs)], saved, cut[len(inputs) :])

                def second_order(*upstream):
                    with tf.GradientTape() as tape:
                        tape.watch(arguments)
                        again = list(arguments[: len(inputs)])
                        _, saved_again = plain_forward(*again)
                        gradients_again = plain_backward(
                            again, saved_again, list(arguments[len(inputs) :])
                        )
                    return tape.gradient(
                        gradients_again,
                        arguments,
                        output_gradients=upstream,
                        unconnected_gradients=tf.UnconnectedGradients.ZERO,
                    )

                return gradients, second_order

            return first_order(*inputs, *output_gradients)

        return outputs, gradient

    # AutoGraph takes a function in a function's place for the one that it converts.
    @tf.autograph.experimental.do_not_convert
    def function_in_any_mode(*inputs):
        if has_tangent(inputs):
            return plain_forward(*inputs)[0]
        return function(*inputs)

    return function_in_any_mode


def has_tangent(tensors):
    """Returns whether a `tf.autodiff.ForwardAccumulator` follows any of the tensors."""
    return bool(forwardprop_util.pack_tangents(list(tensors)).tangents)


def gradient_may_be_taken():
    """Returns whether a `tf.GradientTape` is recording now.

    What a backward pass needs is worth keeping only then. (A tape around a
    `tf.function`, opened after that function was traced, is not seen: the backward pass
    still has to be right without anything kept.)
    """
    return record.could_possibly_record()


def forget_gradients(function):
    """Lets the memory of a traced function that is only called forward be freed.

    In a graph, `tf.custom_gradient` puts its backward pass into a table of TensorFlow's
    that forgets nothing: every function ever traced stays, with its variables, 4 MB for
    each text classifier loaded.

    Args:
        function: A `tf.function` with an input signature. It cannot be differentiated
            afterwards.
    """
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    for node in nodes:
        name = node.attr["_gradient_op_type"].s.decode()
        if name.startswith("CustomGradient-"):
            ops.gradient_registry._registry.pop(name, None)
