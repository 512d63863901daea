"""Writes tests/layers/goldens/torch.npz: what torch.nn.LSTM, GRU and RNN return.

    python tests/layers/make_torch_goldens.py

Needs PyTorch; the tests that read the file do not.
"""

from pathlib import Path

import numpy as np
import torch

N, T, D, H = 2, 4, 3, 5
FILE = Path(__file__).parent / "goldens" / "torch.npz"


def main():
    torch.manual_seed(0)
    arrays = {}
    for name, module in {
        "LSTM": torch.nn.LSTM(D, H, batch_first=True).double(),
        "GRU": torch.nn.GRU(D, H, batch_first=True).double(),
        "SimpleRNN": torch.nn.RNN(D, H, batch_first=True).double(),
    }.items():
        x = torch.randn(N, T, D, dtype=torch.float64, requires_grad=True)
        upstream = torch.randn(N, T, H, dtype=torch.float64)
        outputs, _ = module(x)
        outputs.backward(upstream)
        values = {"x": x, "upstream": upstream, "outputs": outputs, "d_x": x.grad}
        for key, parameter in module.named_parameters():
            values[f"state_dict.{key}"] = parameter
            values[f"gradient.{key}"] = parameter.grad
        for key, value in values.items():
            arrays[f"{name}.{key}"] = value.detach().numpy()
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
