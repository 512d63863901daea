import pytest

from kerasdl.certification import certify

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.needs_torch

PADDED_ONLY = {"left padded", "holes", "a row fully masked"}


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.LSTM(3, 4),
        torch.nn.GRU(3, 4, batch_first=True, dtype=torch.float64),
        torch.nn.RNN(3, 4, bias=False),
    ],
    ids=lambda module: type(module).__name__,
)
def test_those_of_torch_hold(module):
    kept = [p.detach().clone() for p in module.parameters()]
    certificate = certify(module, show=False, long=12)
    assert certificate.passed, str(certificate)
    assert certificate.subject.startswith(f"torch.nn.{type(module).__name__} (")
    not_given = {row.case for row in certificate.rows if not row.measured}
    assert not_given == PADDED_ONLY
    for one, other in zip(module.parameters(), kept, strict=True):
        assert torch.equal(one, other)


class Detached(torch.nn.LSTM):
    """Its cell state passes no gradient on."""

    def forward(self, x, states=None):
        sequence, (h, c) = super().forward(x, states)
        return sequence, (h, c.detach())


def test_a_detached_state_fails():
    certificate = certify(Detached(3, 4), show=False, long=12)
    assert {row.quantity for row in certificate.failures} == {
        "first derivatives",
        "second derivatives",
    }
    assert "FAILS  one step, first derivatives: ∂L/∂" in str(certificate)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torch.nn.LSTM(3, 4, num_layers=2), "expected num_layers=1, got 2"),
        (torch.nn.GRU(3, 4, bidirectional=True), "bidirectional=False, got True"),
        (torch.nn.LSTM(3, 4, proj_size=2), "expected proj_size=0, got 2"),
        (torch.nn.RNN(3, 4, nonlinearity="relu"), "nonlinearity tanh, .* got relu"),
        (torch.nn.Linear(3, 4), "`rnn`, expected a torch.nn.LSTM, .* got Linear"),
    ],
    ids=lambda value: "",
)
def test_refuses(module, message):
    with pytest.raises(ValueError, match=message):
        certify(module)
