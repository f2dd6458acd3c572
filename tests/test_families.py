"""The four other families: who may see what, who moves whom, the way back, and training that reaches what is known to be the best."""

import math

import numpy as np
import pytest
import torch

from minidiff.families import (
    Autoregressive,
    Coupling,
    EightBit,
    Flow,
    Gan,
    Logistics,
    Monotone,
    Vae,
    couplings,
    made,
    minimax,
    relativistic,
)
from minidiff.families.autoregressive import masks, spread
from minidiff.families.gan import slope
from minidiff.learn import Training, descend
from minidiff.nn import MLP, count_parameters
from minidiff.nn.perceptron import Masked, Perceptron, free_parameters


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def a_gan(loss=relativistic, penalty=0.1, dims=2):
    return Gan(dims, 4, Perceptron(4, dims, 16), Perceptron(dims, 1, 16), loss, penalty)


def a_vae(dims=2, latent=2):
    return Vae(dims, latent, Perceptron(dims, 2 * latent, 16), Perceptron(latent, 2 * dims, 16))


FAMILIES = {
    "gan": a_gan,
    "gan-minimax": lambda: a_gan(minimax, 0.0),
    "vae": a_vae,
    "flow": lambda: Flow(2, couplings(2, 4, 16)),
    "autoregressive": lambda: Autoregressive(2, spread(made(2, 9, 16), 2, 3), Logistics),
}


# -- the network ---------------------------------------------------------------------------------------------------------


def test_the_perceptron_is_mlp_at_a_time_that_says_nothing():
    told, plain = MLP(3, 2, 8, 2), Perceptron(3, 2, 8, 2)
    for p in told.time.parameters():
        torch.nn.init.zeros_(p)
    plain.load_state_dict({k: v for k, v in told.state_dict().items() if not k.startswith("time.")})
    x = torch.randn(5, 3)
    assert torch.equal(plain(x), told(x, torch.full((5,), 7)))
    assert not Perceptron(3, 2, 8, still=True)(x).any()


def test_weights_that_a_mask_holds_are_not_counted_and_never_move():
    net = made(3, 2, 5, 1)
    assert free_parameters(Perceptron(3, 2, 5)) == count_parameters(Perceptron(3, 2, 5))
    free = 0
    for layer in (m for m in net.modules() if isinstance(m, Masked)):
        layer.zero_grad()
        layer(torch.randn(4, layer.in_features)).square().sum().backward()
        free += int((layer.weight.grad != 0).sum()) + len(layer.bias)
    assert free == free_parameters(net) < count_parameters(net)


# -- the chain rule ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "width"), [(1, 3), (2, 4), (5, 7)])
def test_no_output_sees_its_own_input_or_a_later_one(dims, width):
    first, inner, last = (m.int() for m in masks(dims, 2, width))
    paths = (last @ inner @ inner @ first).reshape(dims, 2, dims).sum(1)  # ways from an input to an output, by matrix products
    assert torch.equal(paths > 0, torch.tril(torch.ones(dims, dims), -1) > 0)


def test_samples_of_a_chain_have_its_law():
    """Two binary numbers that tend to be equal: 0.9 of the time."""
    logs = torch.tensor([0.9, 0.1]).log()

    class Coin:
        def __init__(self, params):
            self.params = params  # (B, 2, 2): log probabilities

        def log_prob(self, x):
            return self.params.gather(-1, x[..., None].long()).squeeze(-1)

        def sample(self, rng):
            return torch.multinomial(self.params.exp().flatten(0, 1), 1, generator=rng).reshape(self.params.shape[:2]).float()

    class Net(torch.nn.Module):
        def forward(self, x):
            second = torch.where(x[:, :1] == 0, logs, logs.flip(0))
            return torch.cat([torch.full((len(x), 2), math.log(0.5)), second], 1)

    model = Autoregressive(2, Net(), Coin)
    x = model.sample(4000, rng())
    assert abs((x[:, 0] == x[:, 1]).float().mean() - 0.9) < 5 * (0.09 / 4000) ** 0.5 and abs(x[:, 0].mean() - 0.5) < 5 * 0.5 / 4000**0.5
    assert model.log_prob(torch.tensor([[1.0, 0.0]])).item() == pytest.approx(math.log(0.05), abs=1e-6)


def test_eight_bit_masses_far_out_and_their_gradients_are_finite():
    params = torch.tensor([0.0, 0.0, -7.0]).repeat(256, 1).requires_grad_()  # as narrow as it may become, at 0
    levels = (torch.arange(256) / 127.5 - 1).float()
    logs = EightBit(params).log_prob(levels)
    logs.sum().backward()
    assert torch.isfinite(logs).all() and torch.isfinite(params.grad).all() and logs.argmax() in (127, 128)
    drawn = EightBit(torch.tensor([0.0, 0.9, 0.0]).repeat(500, 1)).sample(rng())
    assert torch.equal(((drawn + 1) * 127.5).round() / 127.5 - 1, drawn) and drawn.max() == 1 and drawn.min() == -1


# -- flows ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", [lambda: Flow(5, couplings(5, 6, 8)), lambda: Flow(1, [Monotone(6), Monotone(5)])])
def test_data_to_noise_and_back(flow):
    made = flow()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = torch.randn(50, made.dims)
    z, _ = made.encode(x)
    assert (made.decode(z) - x).abs().max() < 1e-5 and (z - x).abs().max() > 0.1
    sample = made.sample(50, rng(3))
    assert (made.encode(sample)[0] - torch.randn(50, made.dims, generator=rng(3))).abs().max() < 1e-4


def test_couplings_begin_as_the_identity_and_every_number_is_moved():
    flow = Flow(5, couplings(5, 4, 8))
    x = torch.randn(3, 5)
    assert torch.equal(flow.encode(x)[0], x) and not flow.encode(x)[1].any()
    kept = torch.stack([layer.keep for layer in flow.layers])
    assert (~kept).any(0).all() and not torch.equal(kept[0], kept[2])


# -- the game ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [minimax, relativistic])
def test_each_player_goes_down_on_its_own_loss_alone(loss):
    gan, x = a_gan(loss, 0.0), torch.randn(8, 2)
    gan.objective(x, rng(1)).backward()
    both = {name: p.grad.clone() for name, p in gan.named_parameters()}
    fake = gan.generator(torch.randn(8, 4, generator=rng(1)))
    for player, k in (("discriminator", 0), ("generator", 1)):
        value = loss(gan.discriminator(x), gan.discriminator(fake))[k].mean()
        part = getattr(gan, player)
        for (name, _), g in zip(part.named_parameters(), torch.autograd.grad(value, part.parameters(), retain_graph=True), strict=True):
            torch.testing.assert_close(both[f"{player}.{name}"], g, rtol=1e-5, atol=1e-7)


def test_the_penalty_is_the_squared_slope_by_differences_and_moves_the_discriminator_only():
    net = Perceptron(2, 1, 8).double()
    x, h = torch.randn(6, 2, dtype=torch.float64), 1e-5
    parts = [(net(x + h * e) - net(x - h * e)) / (2 * h) for e in torch.eye(2, dtype=torch.float64)]
    at = x.clone().requires_grad_()
    assert slope(net(at), at).item() == pytest.approx(sum(p.square() for p in parts).mean().item(), rel=1e-6)
    gan = a_gan(penalty=0.0)
    before = {}
    for gamma in (0.0, 2.0):
        gan.penalty = gamma
        gan.zero_grad()
        gan.objective(torch.ones(8, 2), rng(1)).backward()
        for name, p in gan.named_parameters():
            same = torch.equal(before.setdefault(name, p.grad.clone()), p.grad)
            assert gamma == 0 or same == (name.startswith("generator") or name.endswith("last.bias")), name


def test_a_gan_has_no_likelihood():
    with pytest.raises(NotImplementedError, match="a GAN has no log p") as e:
        a_gan().log_prob(torch.zeros(1, 2))
    assert "\n" not in str(e.value)


# -- training ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_trained_by_descend_and_a_seed_repeats_it(name):
    def once():
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = FAMILIES[name]()
        training = Training(model, steps=3, warmup=1)
        losses = [s.loss for s in descend(training, lambda g: model.objective(torch.randn(32, 2, generator=g), g))]
        return losses, model.sample(5, rng(2))

    (losses, x), (again, y) = once(), once()
    assert losses == again and torch.equal(x, y) and x.shape == (5, 2) and not x.requires_grad and np.isfinite(losses).all()


@pytest.mark.parametrize("name", ["vae", "flow", "autoregressive"])
def test_a_gaussian_is_learnt_to_its_entropy(name):
    """Correlated normal data: no model's mean -log p can lie below the entropy, and a trained one's lies close above."""
    cov = torch.tensor([[0.25, 0.12], [0.12, 0.09]])
    root, best = torch.linalg.cholesky(cov), 0.5 * float(torch.logdet(2 * math.pi * math.e * cov))
    model = FAMILIES[name]()
    training = Training(model, steps=400, lr=1e-2, warmup=10, ema=0.98)
    for _ in descend(training, lambda g: model.objective(torch.randn(128, 2, generator=g) @ root.T, g)):
        pass
    x, trained = torch.randn(4000, 2, generator=rng(9)) @ root.T, training.averaged()
    with torch.no_grad():
        nats = -(trained.importance(x, torch.randn(20, 4000, 2, generator=rng(8))) if name == "vae" else trained.log_prob(x))
    excess = nats.mean().item() - best
    assert -4 / 4000**0.5 < excess < 0.08, excess
    samples = trained.sample(4000, rng(7))
    assert (torch.cov(samples.T) - cov).abs().max() < 0.04 and samples.mean(0).abs().max() < 0.06


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Coupling(torch.tensor([True]), Perceptron(1, 2)), "keeps some of its 1 dimensions and moves the rest; got 1 kept"),
        (lambda: FAMILIES["flow"]().log_prob(torch.zeros(3, 4)), r"x must be \(B, 2\); got \(3, 4\)"),
        (lambda: FAMILIES["autoregressive"]().log_prob(torch.zeros(3)), r"x must be \(B, 2\); got \(3,\)"),
        (lambda: a_vae().bound(torch.zeros(3, 4), torch.zeros(3, 2)), r"x must be \(B, 2\); got \(3, 4\)"),
        (lambda: Perceptron(2, 1)(torch.zeros(3, 4)), r"x must be \(B, 2\); got \(3, 4\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
