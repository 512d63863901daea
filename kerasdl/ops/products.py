"""Products of a vector with the kernels of one or several gates, and their gradients.

With dropout each gate may see its own copy of the vector: for gate k of K, masks m_k and
kernel W = [W_1 ... W_K], the product is [(v ∗ m_1) W_1 ... (v ∗ m_K) W_K]. The masks are
random numbers, not inputs: no gradient flows to them.

Shapes: v (..., N, D); kernel (D, K·H); masks None (no dropout), (N, D) (one mask for all
gates) or (K, N, D) (one a gate).
"""

import tensorflow as tf

from kerasdl.ops import execution


def product(v, kernel, masks=None):
    """Returns the product of v with every gate's kernel, shape (..., N, K·H)."""
    if masks is None:
        return _matmul(v, kernel)
    if masks.shape.rank == 2:
        return _matmul(v * masks, kernel)
    gates = masks.shape[0]
    parts = tf.split(kernel, gates, axis=1)
    return tf.concat([_matmul(v * masks[k], parts[k]) for k in range(gates)], axis=-1)


def input_gradient(upstream, kernel, masks=None, transposed=None):
    """Returns ∂L/∂v (..., N, D) from ∂L/∂(product) (..., N, K·H).

    Args:
        upstream: ∂L/∂(product).
        kernel: W.
        masks: see the module.
        transposed: Wᵀ if it is at hand.
    """
    if masks is None or masks.shape.rank == 2:
        if transposed is None:
            d_v = _matmul(upstream, kernel, transpose_b=True)
        else:
            d_v = _matmul(upstream, transposed)
        return d_v if masks is None else d_v * masks
    gates = masks.shape[0]
    parts = tf.split(tf.transpose(kernel) if transposed is None else transposed, gates)
    slices = tf.split(upstream, gates, axis=-1)
    return tf.add_n([_matmul(slices[k], parts[k]) * masks[k] for k in range(gates)])


def recurrent_input_gradient(recurrent_kernel, batch, masks=None):
    """Returns `input_gradient` for a loop over time, as a function of `upstream`.

    The kernel is transposed once before the loop: a small product whose right operand is
    read across its rows takes up to three times as long. For a batch of one it is not,
    since transposing reads U once, which is all that the product of one row does.

    Args:
        recurrent_kernel: U (H, K·H).
        batch: N if it is known, else None.
        masks: see the module.
    """
    transposed = None if batch == 1 else tf.transpose(recurrent_kernel)
    return lambda upstream: input_gradient(upstream, recurrent_kernel, masks, transposed)


def kernel_gradient(upstream, v, masks=None):
    """Returns ∂L/∂kernel (D, K·H), summed over leading axes by one product a gate."""
    if masks is None:
        return _outer(v, upstream)
    if masks.shape.rank == 2:
        return _outer(v * masks, upstream)
    gates = masks.shape[0]
    slices = tf.split(upstream, gates, axis=-1)
    return tf.concat([_outer(v * masks[k], slices[k]) for k in range(gates)], axis=-1)


def bias_gradient(upstream):
    """Returns Σ_t Σ_n of upstream (T, N, ·), the gradient of a bias (·)."""
    if execution.fused():
        return tf.reduce_sum(upstream, axis=[0, 1])
    # A tenth of the time of `tf.reduce_sum` over one axis after the other.
    return tf.raw_ops.BiasAddGrad(out_backprop=_rows(upstream))


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
