"""What keeps the core readable: few rooms on the way, each equation in one place."""

import inspect
from pathlib import Path

import pytest
import tensorflow as tf

from kerasdl import layers
from kerasdl.ops import products

ROOT = Path(products.__file__).parents[1]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_x_passes_at_most_seven_rooms_on_its_way_to_the_product(name, graph, monkeypatch):
    layer = getattr(layers, name)(4)
    layer.build((2, 9, 3))
    walks = []

    def matmul(*arguments, **options):
        files = [Path(frame.filename) for frame in inspect.stack(context=0)]
        walks.append({file for file in files if file.is_relative_to(ROOT)})
        return product(*arguments, **options)

    product = products._matmul
    monkeypatch.setattr(products, "_matmul", matmul)

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
        return tape.gradient(outputs, x)

    (tf.function(step, autograph=False) if graph else step)(tf.ones((2, 9, 3)))
    loop = ROOT / "ops" / "scan.py"  # the way of h, to the product in the loop
    of_x = [walk for walk in walks if loop not in walk]
    assert of_x
    assert max(map(len, of_x)) <= 7, max(of_x, key=len)


@pytest.mark.parametrize(
    "line",
    [
        "d_a_i = gamma * c_tilde * phi.slope(i)",
        "d_a_f = gamma * c_before * phi.slope(f)",
        "d_a_c = gamma * i * psi.slope(c_tilde)",
        "d_a_o = delta * tanh_c * phi.slope(o)",
        "gamma = gamma + delta * o * psi.slope(tanh_c)",
    ],
)
def test_an_equation_stands_in_one_place(line):
    found = [
        file.name
        for file in (ROOT / "ops").glob("*.py")
        for code in file.read_text(encoding="utf-8").splitlines()
        if code.strip() == line
    ]
    assert found == ["lstm.py"]
