"""The dense layer applied at every step of a sequence."""

import tensorflow as tf

from kerasdl.ops.gate_products import gate_product
from kerasdl.ops.sequences import check_shape, to_tensors


def dense_over_time(x, kernel, bias=None):
    """Returns y_t = x_t W + b at every step, with one matrix product.

    With upstream gradient ∂L/∂y (N, T, V): ∂L/∂x = ∂L/∂y Wᵀ (N, T, H),
    ∂L/∂W = Σ_t x_tᵀ ∂L/∂y_t (H, V), ∂L/∂b = Σ_n Σ_t ∂L/∂y (V,); docs/derivations.md.

    Args:
        x: (N, T, H).
        kernel: W (H, V).
        bias: b (V,) or None.

    Returns:
        y (N, T, V).

    Raises:
        ValueError: an argument of the wrong shape.
    """
    x, kernel, bias = to_tensors(x, kernel=kernel, bias=bias)
    check_shape("x", x, ("N", "T", "H"))
    check_shape("kernel", kernel, (x.shape[-1] or "H", "V"))
    y = gate_product(x, kernel)
    if bias is None:
        return y
    check_shape("bias", bias, (kernel.shape[1] or "V",))
    return tf.nn.bias_add(y, bias)
