"""Attaches a hand-derived backward pass to a forward pass."""

import tensorflow as tf

from kerasdl.tensorflow_private import has_tangent


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
