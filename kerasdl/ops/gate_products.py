"""Products of a vector with the kernels of one or several gates, and their gradients.

With dropout each gate may see its own copy of the vector: for gate k of K, masks m_k and
kernel W = [W_1 ... W_K], the product is [(v ∗ m_1) W_1 ... (v ∗ m_K) W_K]. The masks are
random numbers, not inputs: no gradient flows to them.

Shapes: v (..., N, D); kernel (D, K·H); masks None (no dropout), (N, D) (one mask for all
gates) or (K, N, D) (one a gate).
"""

import tensorflow as tf

from kerasdl.ops.sequences import states_before


def gate_product(v, kernel, masks=None):
    """Returns the product of v with every gate's kernel, shape (..., N, K·H)."""
    if masks is None:
        return _matmul(v, kernel)
    if masks.shape.rank == 2:
        return _matmul(v * masks, kernel)
    gates = masks.shape[0]
    parts = tf.split(kernel, gates, axis=1)
    return tf.concat([_matmul(v * masks[k], parts[k]) for k in range(gates)], axis=-1)


def gate_product_input_gradient(upstream, kernel, masks=None):
    """Returns ∂L/∂v (..., N, D) from ∂L/∂(product) (..., N, K·H)."""
    if masks is None:
        return _matmul(upstream, kernel, transpose_b=True)
    return transposed_gate_product(upstream, tf.transpose(kernel), masks)


def transposed_gate_product(upstream, transposed_kernel, masks=None):
    """Returns the same from Wᵀ (K·H, D).

    In a loop over time the kernel is transposed once before it: a small product with a
    right operand that is read across its rows takes up to three times as long.
    """
    if masks is None:
        return _matmul(upstream, transposed_kernel)
    if masks.shape.rank == 2:
        return _matmul(upstream, transposed_kernel) * masks
    gates = masks.shape[0]
    parts = tf.split(transposed_kernel, gates, axis=0)
    slices = tf.split(upstream, gates, axis=-1)
    return tf.add_n([_matmul(slices[k], parts[k]) * masks[k] for k in range(gates)])


def recurrent_product_gradient(recurrent_kernel, batch, masks=None):
    """Returns `gate_product_input_gradient` for a loop, as a function of `upstream`.

    Args:
        recurrent_kernel: U (H, K·H).
        batch: N where it is known, else None.
        masks: see the module.
    """
    if batch == 1:
        # Transposing reads U once, which is all that the product of one row does.
        return lambda upstream: gate_product_input_gradient(
            upstream, recurrent_kernel, masks
        )
    transposed = tf.transpose(recurrent_kernel)
    return lambda upstream: transposed_gate_product(upstream, transposed, masks)


def gate_product_kernel_gradient(upstream, v, masks=None):
    """Returns ∂L/∂kernel (D, K·H), summed over leading axes by one product a gate."""
    if masks is None:
        return _outer(v, upstream)
    if masks.shape.rank == 2:
        return _outer(v * masks, upstream)
    gates = masks.shape[0]
    slices = tf.split(upstream, gates, axis=-1)
    return tf.concat([_outer(v * masks[k], slices[k]) for k in range(gates)], axis=-1)


def recurrent_kernel_gradient(upstream, initial, states, masks=None, from_zero=False):
    """Returns ∂L/∂U (H, K·H), summed over the steps.

    Args:
        upstream: ∂L/∂(product) of all steps, (T, N, K·H).
        initial: h_0 (N, H).
        states: h_1 ... h_T (T, N, H).
        masks: see the module.
        from_zero: whether h_0 is zero, so that the first step has no share.
    """
    if from_zero:
        return gate_product_kernel_gradient(upstream[1:], states[:-1], masks)
    return gate_product_kernel_gradient(upstream, states_before(initial, states), masks)


def _matmul(a, b, transpose_b=False):
    # A product of rank-3 tensors is a loop over small products in TensorFlow's kernel;
    # flattened it is one large one.
    if a.shape.rank == 2:
        return tf.matmul(a, b, transpose_b=transpose_b)
    leading = tf.shape(a)[:-1]
    width = b.shape[0] if transpose_b else b.shape[1]
    flat = tf.matmul(_rows(a), b, transpose_b=transpose_b)
    product = tf.reshape(flat, tf.concat([leading, [width]], axis=0))
    product.set_shape([*a.shape[:-1], width])
    return product


def _outer(a, b):
    return tf.matmul(_rows(a), _rows(b), transpose_a=True)


def _rows(a):
    return a if a.shape.rank == 2 else tf.reshape(a, (-1, a.shape[-1]))
