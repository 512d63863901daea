"""The equations' gradients against differences of their own outputs."""

import numpy as np
import pytest

from kerasdl.certification.cases import Case, draw_mask, draw_problem
from kerasdl.certification.layouts import keras_layout, torch_layout
from kerasdl.certification.reference import (
    NETWORKS,
    first_derivatives,
    second_derivatives,
)

MASKS = ("", "right padded", "left padded", "holes", "a row fully masked")
kinds = pytest.mark.parametrize("kind", sorted(NETWORKS))


def problem_of(kind, mask="", **options):
    network = NETWORKS[kind]
    case = Case("small", 3, 4, mask=mask, **options)
    layout = torch_layout(network)  # both biases are free
    return network, draw_problem(case, network, layout, 2, 3, np.float64, seed=0)


def loss_of(network, problem, point, zero_masked, reverse):
    states = slice(1, 1 + network.states)
    moved = problem._replace(
        x=point[0], states=point[states], weights=point[states.stop :]
    )
    outputs, gradients = first_derivatives(network, moved, zero_masked, reverse)
    terms = zip(problem.upstream, outputs, strict=True)
    return sum((u * (y + y * y / 2)).sum() for u, y in terms), gradients


@kinds
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("zero_masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_along_a_direction(kind, mask, zero_masked, reverse):
    network, problem = problem_of(kind, mask)
    point = [problem.x, *problem.states, *problem.weights]
    step = 1e-5
    (above, g_above), (below, g_below), (_, gradients) = (
        loss_of(
            network,
            problem,
            [p + s * v for p, v in zip(point, problem.direction, strict=True)],
            zero_masked,
            reverse,
        )
        for s in (step, -step, 0.0)
    )
    slope = sum((g * v).sum() for g, v in zip(gradients, problem.direction, strict=True))
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-7)
    products = second_derivatives(network, problem, zero_masked, reverse)
    for product, one, other in zip(products, g_above, g_below, strict=True):
        np.testing.assert_allclose(product, (one - other) / (2 * step), atol=1e-6)


@kinds
def test_each_array_has_its_own_gradient(kind):
    network, problem = problem_of(kind, "holes")
    point = [problem.x, *problem.states, *problem.weights]
    _, gradients = loss_of(network, problem, point, False, False)
    step = 1e-6
    for k, array in enumerate(point):
        index = tuple(np.random.default_rng(k).integers(array.shape))
        losses = []
        for s in (step, -step):
            moved = [a.copy() for a in point]
            moved[k][index] += s
            losses.append(loss_of(network, problem, moved, False, False)[0])
        slope = (losses[0] - losses[1]) / (2 * step)
        assert gradients[k][index] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_the_hessian_is_symmetric():
    network, problem = problem_of("lstm", "holes")
    other = [v[::-1] for v in problem.direction]
    products = [
        second_derivatives(network, problem._replace(direction=v))
        for v in (problem.direction, other)
    ]
    one = sum((a * b).sum() for a, b in zip(products[0], other, strict=True))
    two = sum((a * b).sum() for a, b in zip(products[1], problem.direction, strict=True))
    assert one == pytest.approx(two, rel=1e-12)


@kinds
def test_what_is_masked_has_no_gradient(kind):
    network, problem = problem_of(kind, "a row fully masked")
    _, (d_x, d_h, *_) = first_derivatives(network, problem)
    assert not d_x[~problem.mask].any()
    np.testing.assert_array_equal(  # h_T is h_0 there, and every output is 0
        d_h[-1], problem.upstream[1][-1] * (1 + problem.states[0][-1])
    )


def test_the_masks_are_what_they_are_called():
    masks = {
        name: draw_mask(name, 4, 7, np.random.default_rng(0)).astype(int)
        for name in MASKS
    }
    assert masks[""].all()
    assert (np.diff(masks["right padded"]) <= 0).all()
    assert (np.diff(masks["left padded"]) >= 0).all()
    assert masks["right padded"].sum(axis=1).tolist() == [7, 5, 3, 1]
    assert (np.diff(masks["holes"]) > 0).any() and (np.diff(masks["holes"]) < 0).any()
    assert masks["holes"].any(axis=1).all()
    assert not masks["a row fully masked"][-1].any()


@kinds
def test_a_layout_written_and_read_is_the_same(kind):
    network, problem = problem_of(kind)
    for layout in (torch_layout(network), keras_layout(network)):
        weights = problem.weights
        if layout.biases == "one":
            weights = [*weights[:3], np.zeros_like(weights[3])]
        arrays = layout.write(network, weights)
        assert len(arrays) == len(layout.names())
        for one, other in zip(layout.read(network, arrays), weights, strict=True):
            np.testing.assert_array_equal(one, other)
