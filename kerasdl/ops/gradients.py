"""One way of attaching a hand-derived backward pass to a forward pass."""

import tensorflow as tf
from tensorflow.python.eager import record  # no public name tells of active tapes


def with_backward(forward, backward, equations=None):
    """Joins a forward pass and its hand-derived backward pass into one function.

    The first derivative is `backward`, on what `forward` saved. A derivative of that
    derivative exists too and is exact: it differentiates the *equations* of the backward
    pass, evaluated again with everything they take from the forward pass as functions of
    the inputs. (A plain `tf.custom_gradient` would treat the saved activations as
    constants, and give wrong second derivatives without a word.)

    Args:
        forward: (*inputs) -> (outputs, saved); `outputs` a list of tensors, `saved` any
            structure of tensors.
        backward: (inputs, saved, gradients) -> list of the gradients of `inputs`, each
            of the shape of its input; `inputs` and `gradients` are lists, the latter
            parallel to `outputs`.
        equations: (forward, backward) to differentiate for the second derivative, if
            they are others: TensorFlow cannot differentiate what is compiled.

    Returns:
        A function (*inputs) -> list of outputs, for tensors (not variables).
    """

    plain_forward, plain_backward = equations or (forward, backward)

    @tf.custom_gradient
    def function(*inputs):
        outputs, saved = forward(*map(tf.stop_gradient, inputs))

        def gradient(*output_gradients):
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

    return function


def gradient_may_be_taken():
    """Returns whether a `tf.GradientTape` is recording now.

    What a backward pass needs is worth keeping only then. (A tape around a
    `tf.function`, opened after that function was traced, is not seen: the backward pass
    still has to be right without anything kept.)
    """
    return record.could_possibly_record()
