"""bfloat16, which NumPy has not: the high 16 bits of a float32."""

import numpy as np


def float32_of_bfloat16(data: bytes) -> np.ndarray:
    """Widens little-endian bfloat16 numbers, 2 bytes each, to float32 (n,), exactly."""
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
