"""Autoencoders: shapes, what each term of the loss reaches, the codebook, and training that is resumed."""

import copy

import numpy as np
import pytest
import torch

from minidiff.learn import FirstStage, Training, Weights, descend, first_stage_objective, first_stage_terms
from minidiff.learn.first_stage import perceptual
from minidiff.nn.autoencoder import Autoencoder, Codebook, VQAutoencoder, levels
from minidiff.nn.classifier import PictureClassifier
from minidiff.nn.discriminator import PatchDiscriminator


def tiny(kind=Autoencoder, factor=2, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(factor, 2, (8,) * levels(factor), 1, **options)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", [Autoencoder, VQAutoencoder])
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_the_factor_is_that_of_the_shapes(kind, factor):
    model, x = tiny(kind, factor), noise(3, 3, 16, 24)
    q = model.encode(x)
    assert q.mean.shape == model.latent_shape(x) == (3, 2, 16 // factor, 24 // factor)
    assert model.decode(q.mean).shape == x.shape
    again, regulariser = model(x, noise(*q.mean.shape))
    assert again.shape == x.shape and regulariser.shape == (3,) and (regulariser >= 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Autoencoder(3), "power of two.*got 3"),
        (lambda: Autoencoder(4, channels=(8,)), r"f = 4 has 2 resolution\(s\)"),
        (lambda: tiny(factor=4).encode(torch.zeros(1, 3, 6, 8)), "multiples of 4"),
        (lambda: tiny(factor=1).encode(torch.zeros(1, 3, 7, 8)), "multiples of 2"),
        (lambda: tiny().encode(torch.zeros(1, 1, 8, 8)), r"\(B, 3, H, W\)"),
        (lambda: tiny().encode(torch.zeros(3, 8, 8)), r"\(B, 3, H, W\)"),
        (lambda: tiny().decode(torch.zeros(1, 3, 4, 4)), r"z must be \(B, 2, h, w\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch():
    model, x = tiny(), noise(4, 3, 8, 8)
    together, alone = model.encode(x).mean, torch.cat([model.encode(x[i : i + 1]).mean for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_latent_far_out_has_a_finite_variance():
    model = tiny()
    for p in model.encoder.parameters():
        p.data *= 100
    q = model.encode(1e3 * noise(2, 3, 8, 8))
    assert torch.isfinite(q.var).all() and (q.var > 0).all()


# The quantised one


def test_decoding_quantises_and_encoding_does_not():
    model, x = tiny(VQAutoencoder, codes=5), noise(2, 3, 8, 8)
    model.codebook.codes.data = noise(5, 2, seed=1)
    z = model.encode(x).mean
    z_q = model.codebook(model.codebook.nearest(z))
    assert not torch.equal(z, z_q) and torch.equal(model.decode(z), model.decode(z_q))
    assert torch.allclose(model.decode(z), model(x, torch.zeros_like(z)).x, atol=1e-5)
    nudged = z + 1e-4
    assert torch.equal(model.codebook.nearest(z), model.codebook.nearest(nudged)) and torch.equal(model.decode(z), model.decode(nudged))


def test_dead_codes_are_put_where_latents_are_and_living_ones_stay():
    book, z = Codebook(6, 2), noise(1, 2, 3, 3)
    book.revive(z, torch.Generator().manual_seed(0))
    places = {tuple(p) for p in z.movedim(1, -1).reshape(-1, 2).tolist()}
    assert all(tuple(c) in places for c in book.codes.tolist()) and (book.use == 1).all()
    before = book.codes.detach().clone()
    book.use[:] = torch.tensor([1.0, 0.02, 0.5, 0.031, 0.0, 1.0])
    book.revive(z + 10, torch.Generator().manual_seed(1))
    moved = (book.codes != before).any(1)
    assert moved.tolist() == [False, True, False, False, True, False] and (book.codes[moved] > 5).all()


def test_use_is_the_running_share_of_each_code():
    book = Codebook(4, 2)
    book.use[:] = 1.0
    for _ in range(2000):
        book.count(torch.tensor([[0, 0, 0], [1, 0, 2]]))
    assert torch.allclose(book.use, torch.tensor([4 / 6, 1 / 6, 1 / 6, 0]) * 4, atol=1e-4)


# The terms of the loss


def terms(stage, features=None, fight=True):
    x = noise(2, 3, 16, 16)
    return x, first_stage_terms(stage, x, noise(2, 2, 8, 8, seed=2), features, fight)


def test_terms_are_sums_over_features_and_only_those_asked_for():
    stage = FirstStage(tiny())
    x, found = terms(stage)
    again = stage.autoencoder(x, noise(2, 2, 8, 8, seed=2)).x
    assert set(found) == {"reconstruction", "regulariser"}
    slow = torch.stack([sum((a - b) ** 2 for a, b in zip(p.flatten(), q.flatten(), strict=True)) for p, q in zip(x, again, strict=True)])
    assert torch.allclose(found["reconstruction"], slow, rtol=1e-4)
    assert set(terms(FirstStage(tiny(), PatchDiscriminator(8)), fight=False)[1]) == set(found)


def test_who_is_moved_by_which_term():
    """The discriminator by its own term alone, the autoencoder by all others."""
    stage = FirstStage(tiny(), PatchDiscriminator(8))
    judge = PictureClassifier(8).eval().requires_grad_(False)
    _, found = terms(stage, lambda x: judge.maps(torch.nn.functional.interpolate(x, size=(32, 32))))
    parts = {"autoencoder": list(stage.autoencoder.parameters()), "discriminator": list(stage.discriminator.parameters())}
    for name, term in found.items():
        for part, weights in parts.items():
            slopes = torch.autograd.grad(term.sum(), weights, retain_graph=True, allow_unused=True)
            moved = any(s is not None and s.abs().sum() > 0 for s in slopes)
            assert moved == ((part == "discriminator") == (name == "discriminator")), (name, part)
    assert set(found) == {"reconstruction", "regulariser", "perceptual", "adversarial", "discriminator"}


def test_perceptual_distance_forgets_contrast_and_sees_direction():
    a = noise(2, 4, 3, 3)
    assert torch.allclose(perceptual([a], [3 * a]), torch.zeros(2), atol=1e-6)
    assert torch.allclose(perceptual([a], [-a]), torch.full((2,), 4.0), atol=1e-5)
    assert torch.allclose(perceptual([a, a], [a, -a]), torch.full((2,), 2.0), atol=1e-5)


# Training


PLAIN = Weights()


def trained(stage, steps, weights=PLAIN, stop=None, accumulate=1):
    x = 0.5 * noise(8, 3, 8, 8, seed=5)
    training = Training(stage, steps, lr=3e-3, warmup=1, ema=0.5, accumulate=accumulate)
    objective = first_stage_objective(training, lambda rng: (x, None), weights)
    losses = []
    for step in descend(training, objective):
        losses.append(step.loss)
        if step.step == stop:
            break
    return training, losses


@pytest.mark.parametrize("kind", [Autoencoder, VQAutoencoder])
def test_training_learns_a_few_pictures(kind):
    options = {"codes": 16} if kind is VQAutoencoder else {}
    _, losses = trained(FirstStage(tiny(kind, **options)), 150, Weights(regulariser=1.0 if options else 1e-6))
    assert losses[-1] < 0.35 * losses[0]


def test_parts_of_a_batch_give_the_same_step():
    one, many = (trained(FirstStage(tiny()), 3, accumulate=k)[1] for k in (1, 4))
    assert np.allclose(one, many, rtol=1e-5)


def test_the_discriminator_waits_for_its_step():
    stage = FirstStage(tiny(), PatchDiscriminator(8))
    before = copy.deepcopy(stage.discriminator)
    weights = Weights(adversarial=0.1, late=3)
    training, _ = trained(stage, 6, weights, stop=3)
    assert all(torch.equal(p, q) for p, q in zip(before.parameters(), training.network.discriminator.parameters(), strict=True))
    training, _ = trained(stage, 6, weights, stop=5)
    assert not all(torch.equal(p, q) for p, q in zip(before.parameters(), training.network.discriminator.parameters(), strict=True))


def test_a_first_stage_is_asked_for():
    with pytest.raises(TypeError, match="trained as a FirstStage; got a Autoencoder"):
        first_stage_objective(Training(tiny(), 1), lambda rng: (noise(2, 3, 8, 8), None))
