"""The losses of Improved DDPM: term by term with scipy, as a split of the bound, and their gradients by torch's autograd."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from torch import nn

from minidiff import ExactDenoiser, GaussianMixture, Prediction, Schedule, from_output, variational_bound
from minidiff.bound import density_term
from minidiff.learn import NetworkDenoiser, hybrid_loss, simple_loss, vlb_loss
from minidiff.nn import MLP, UNet
from minidiff.toy import quantise, ring
from tests.contracts import Watching, batch

SCHEDULE = Schedule.linear(6, 0.02, 0.5)
BETAS = [math.nan, *np.linspace(0.02, 0.5, 6).tolist()]
ABAR = [math.prod(1 - b for b in BETAS[1 : t + 1]) for t in range(7)]
TILDE = [math.nan] + [(1 - ABAR[t - 1]) / (1 - ABAR[t]) * BETAS[t] for t in range(1, 7)]
TABLE = np.array([0.0, 0.015, 0.05, 0.1, 0.2, 0.3, 0.4])


class Bent:
    """A denoiser that is wrong everywhere, with a learned variance: eps = 0.8 sin x_t, var_mix = cos x_t."""

    schedule = SCHEDULE

    def __call__(self, x_t, t, cond=None):
        return from_output("eps", 0.8 * torch.sin(x_t), x_t, *SCHEDULE.scales(t), torch.cos(x_t))


def sigma2(t, variance, x_t):
    """The model's variance at t, by the definitions; the rule at t = 1 is that of beta-tilde_2."""
    if not isinstance(variance, str):
        return variance[t]
    small, v = TILDE[max(t, 2)], (math.cos(x_t) + 1) / 2
    learned = math.exp(v * math.log(BETAS[t]) + (1 - v) * math.log(small))
    return {"small": small, "large": small if t == 1 else BETAS[t], "learned": learned}[variance]


def term(x_0, eps, t, variance, pixels):
    """L_{t-1} of one number: the KL by quadrature of its definition, the decoder by scipy's distribution function."""
    x_t = math.sqrt(ABAR[t]) * x_0 + math.sqrt(1 - ABAR[t]) * eps
    mean = (x_t - BETAS[t] / math.sqrt(1 - ABAR[t]) * 0.8 * math.sin(x_t)) / math.sqrt(1 - BETAS[t])  # DDPM Eq. 11
    p = scipy.stats.norm(mean, math.sqrt(sigma2(t, variance, x_t)))
    if t == 1 and not pixels:
        return -p.logpdf(x_0)
    if t == 1:
        low, high = (-math.inf if x_0 < -0.999 else x_0 - 1 / 255), (math.inf if x_0 > 0.999 else x_0 + 1 / 255)
        return -math.log(p.cdf(high) - p.cdf(low) if mean > x_0 else p.sf(low) - p.sf(high))
    c_0 = math.sqrt(ABAR[t - 1]) * BETAS[t] / (1 - ABAR[t])
    c_t = math.sqrt(1 - BETAS[t]) * (1 - ABAR[t - 1]) / (1 - ABAR[t])
    q = scipy.stats.norm(c_0 * x_0 + c_t * x_t, math.sqrt(TILDE[t]))
    ends = q.mean() - 12 * q.std(), q.mean() + 12 * q.std()
    return quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), *ends, epsabs=1e-11)[0]


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("variance", ["small", "large", "learned", TABLE], ids=["small", "large", "learned", "table"])
def test_each_term_number_by_number(variance, pixels):
    """A batch whose examples are at different t, among them t = 1, in no order: T times the term of each."""
    x_0, eps, t = quantise(batch((4, 2), "numpy64", 1) / 2), batch((4, 2), "numpy64", 2), np.array([3, 1, 6, 2])
    x_0[1, 0] = -1.0  # the last level of the scale, and t = 1
    x_0 = x_0 if pixels else x_0 + 0.0123
    decoder = {} if pixels else {"decoder": density_term}
    got = vlb_loss(Bent(), torch.from_numpy(x_0), torch.from_numpy(t), torch.from_numpy(eps), variance=variance, **decoder)
    assert got.shape == (4,) and got.dtype == torch.float64
    for b in range(4):
        assert got[b].item() == pytest.approx(6 * sum(term(x_0[b, d], eps[b, d], t[b], variance, pixels) for d in range(2)), rel=1e-8)


def test_the_mean_over_all_t_is_the_bound_without_its_prior():
    """With the same noise at every t, exactly; for pictures and for one t of the whole batch."""
    torch.manual_seed(0)
    net = UNet(out_channels=2, channels=(8, 8))
    net.double()
    for p in net.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    denoiser = NetworkDenoiser(net, SCHEDULE)
    x_0, eps = torch.from_numpy(quantise(batch((3, 1, 4, 4), "numpy64", 3) / 2)), batch((3, 1, 4, 4), "torch64", 4)
    losses = torch.stack([vlb_loss(denoiser, x_0, t, eps) for t in range(1, 7)])
    bound = variational_bound(denoiser, x_0, lambda _: eps, "learned")
    torch.testing.assert_close(losses.mean(0), bound.steps.sum(0) + bound.decoder, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(losses[1:].flip(0) / 6, bound.steps, rtol=1e-11, atol=1e-12)


def test_single_precision_and_the_exact_denoiser():
    data = GaussianMixture([1.0], [[0.1, -0.2]], [0.04])
    x_0, eps, t = quantise(data.sample(50, np.random.default_rng(5))), batch((50, 2), "numpy64", 6), np.resize(np.arange(1, 7), 50)

    def loss(law, dtype):
        pair = (torch.from_numpy(a).to(dtype) for a in (x_0, eps))
        return vlb_loss(ExactDenoiser(law, SCHEDULE), next(pair), t, next(pair), variance="small")

    double, single = loss(data, torch.float64), loss(data, torch.float32)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, double, rtol=2e-4, atol=2e-4)
    for wrong in (GaussianMixture([1.0], [[0.4, -0.2]], [0.04]), ring()):
        assert loss(wrong, torch.float64).mean() > double.mean() + 1


# -- the hybrid ----------------------------------------------------------------------------------------------------------------


class TwoHeads(nn.Module):
    """eps and var_mix from parameters that share nothing."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.eps, self.mix = MLP(2, 2, width=16, depth=1), MLP(2, 2, width=16, depth=1)
        for p in self.parameters():
            p.data.add_(0.1 * torch.randn_like(p))

    def forward(self, x_t, t, vector, tokens, image):
        return torch.cat([head(x_t, t, vector, tokens, image) for head in (self.eps, self.mix)], 1)


def gradients(value, module):
    return torch.autograd.grad(value.sum(), list(module.parameters()), retain_graph=True)


@pytest.mark.parametrize("weight", [0.0, 1e-3, 2.0])
def test_the_bound_teaches_the_variance_and_nothing_else(weight):
    net = TwoHeads().double()
    denoiser = Watching(NetworkDenoiser(net, SCHEDULE))
    x_0, eps, t = torch.from_numpy(quantise(batch((6, 2), "numpy64", 7) / 2)), batch((6, 2), "torch64", 8), np.array([4, 1, 6, 2, 5, 3])
    hybrid = hybrid_loss(denoiser, x_0, t, eps, weight=weight)
    assert len(denoiser.times) == 1, "one call of the network serves both parts"
    simple, vlb = simple_loss(denoiser, x_0, t, eps), vlb_loss(denoiser, x_0, t, eps)
    torch.testing.assert_close(hybrid, simple + weight * vlb, rtol=1e-12, atol=0)
    for got, wanted in zip(gradients(hybrid, net.eps), gradients(simple, net.eps), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    for got, wanted in zip(gradients(hybrid, net.mix), gradients(vlb, net.mix), strict=True):
        torch.testing.assert_close(got, weight * wanted, rtol=1e-10, atol=1e-14)
    assert any(g.abs().max() > 1e-3 for g in gradients(vlb, net.eps)), "the bound alone would teach the mean too"
    assert all((g == 0).all() for g in gradients(simple, net.mix))


def test_the_gradient_of_the_variance_by_differences():
    x_0, eps, t = torch.from_numpy(quantise(batch((5, 2), "numpy64", 9) / 2)), batch((5, 2), "torch64", 10), np.array([1, 2, 3, 5, 6])
    mix = batch((5, 2), "torch64", 11).requires_grad_()

    class Mixed:
        schedule = SCHEDULE

        def __call__(self, x_t, t, cond=None):
            return from_output("eps", 0.8 * torch.sin(x_t), x_t, *SCHEDULE.scales(t), mix)

    (grad,) = torch.autograd.grad(hybrid_loss(Mixed(), x_0, t, eps).sum(), mix)
    for i, d in np.ndindex(5, 2):
        ends = []
        for h in (1e-4, -1e-4):
            with torch.no_grad():
                mix[i, d] += h
                ends.append(hybrid_loss(Mixed(), x_0, t, eps).sum().item())
                mix[i, d] -= h
        assert grad[i, d].item() == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5, abs=1e-9)


def test_the_best_variance_of_gaussian_data_is_where_the_gradient_is_0():
    """v = log(tau^2 / beta-tilde) / log(beta / beta-tilde), tau_t^2 = beta_t v_{t-1} / v_t, for the exact mean (B1)."""
    var, t, n = 0.3, 4, 100_000
    v = [a * var + 1 - a for a in ABAR]
    best = 2 * math.log(BETAS[t] * v[t - 1] / v[t] / TILDE[t]) / math.log(BETAS[t] / TILDE[t]) - 1
    rng = np.random.default_rng(12)
    x_0, eps = torch.from_numpy(math.sqrt(var) * rng.standard_normal((n, 1))), torch.from_numpy(rng.standard_normal((n, 1)))
    exact = ExactDenoiser(GaussianMixture([1.0], [[0.0]], [var]), SCHEDULE)

    def slopes(mix):
        each = torch.full((n, 1), mix, dtype=torch.float64, requires_grad=True)

        class Learned:
            schedule = SCHEDULE

            def __call__(self, x_t, t, cond=None):
                pred = exact(x_t, t)
                return Prediction(pred.x_0, pred.eps, each)

        return torch.autograd.grad(hybrid_loss(Learned(), x_0, t, eps, decoder=density_term).sum(), each)[0][:, 0]

    at, low, high = slopes(best), slopes(best - 0.2), slopes(best + 0.2)
    error = at.std() / n**0.5
    assert abs(at.mean()) < 5 * error and low.mean() < -10 * error and high.mean() > 10 * error


def test_gradients_stay_finite_however_wrong_the_network_is():
    """float32, pixels at both ends of the scale, at t = 1 too: no difference of two distribution functions underflows."""
    for size in (0.0, 1.0, 30.0, 300.0):
        out = torch.full((4, 4), size, requires_grad=True)

        class Far:
            schedule = SCHEDULE

            def __call__(self, x_t, t, cond=None, out=out):
                return from_output("eps", out[:, :2], x_t, *SCHEDULE.scales(t), out[:, 2:] / 100)

        x_0 = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [quantise(np.array(0.2)), -1.0], [1.0, 1.0]])
        for loss in (hybrid_loss, vlb_loss):
            value = loss(Far(), x_0, torch.tensor([1, 1, 1, 4]), batch((4, 2), "torch32", 13))
            (grad,) = torch.autograd.grad(value.sum(), out)
            assert torch.isfinite(value).all() and torch.isfinite(grad).all(), size


def test_the_condition_reaches_the_denoiser():
    x_0, eps = torch.zeros(2, 2), torch.ones(2, 2)
    for loss in (vlb_loss, hybrid_loss):
        watching = Watching(Bent())
        loss(watching, x_0, 3, eps, "a label")
        assert watching.conds == ["a label"] and watching.times == [3]
