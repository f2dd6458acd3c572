"""Generative adversarial networks: a generator, and a discriminator that learns to tell its samples from data. There is no log p(x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

# scores of real and of made points -> what the discriminator goes down on, and what the generator does
Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def minimax(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """The game as it was first written: -log D(x) - log(1 - D(x')) for the discriminator, log(1 - D(x')) for the generator; elementwise.

    Scores are log D/(1 - D). The mean of the first is -V(D, G), whose least value over D is log 4 - 2 JSD(p, p_G). Where the discriminator
    is sure, the generator's slope is nearly 0. Source: Goodfellow et al. 2014, Eq. 1. Checked by `minidiff verify` (families GAN).
    """
    return F.softplus(-real) + F.softplus(made), -F.softplus(made)


def non_saturating(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """The same discriminator; the generator goes down on -log D(x'), which has the same rest point and does not fade. Ibid., section 3."""
    return F.softplus(-real) + F.softplus(made), F.softplus(-made)


def relativistic(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample against one real point: -log sigmoid(D(x) - D(x')) and the reverse, so no mode is left without anything to pull at it.

    Source: Jolicoeur-Martineau 2019; with the penalty of `Gan` on both sides it is R3GAN's loss (Huang et al. 2024, Eq. 2 and 3).
    """
    return F.softplus(made - real), F.softplus(real - made)


class Gan(nn.Module):
    """generator: noise (B, latent) -> (B, dims). discriminator: (B, dims) -> score (B, 1), high for real. loss: one of the above.

    penalty: gamma of gamma/2 (|dD/dx|^2 at data + |dD/dx|^2 at samples), which keeps the game from circling for ever (Mescheder et al.
    2018, Eq. 9, R1 and R2); 0 for none. Checked by tests/test_families.py (who moves whom; the penalty by finite differences).
    """

    def __init__(
        self, dims: int, latent: int, generator: nn.Module, discriminator: nn.Module, loss: Loss = relativistic, penalty: float = 0.1
    ) -> None:
        super().__init__()
        self.dims, self.latent, self.loss, self.penalty = dims, latent, loss, penalty
        self.generator, self.discriminator = generator, discriminator

    def objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Both players' losses in one number: each sees the other's weights as constants, so one optimiser moves both."""
        made = self.generator(torch.randn(len(x), self.latent, generator=rng, dtype=x.dtype))
        real, fixed = x, made.detach()
        if self.penalty > 0:
            real, fixed = x.detach().requires_grad_(), fixed.requires_grad_()
        scores = self.discriminator(real), self.discriminator(fixed)
        judged = self.loss(*scores)[0].mean()
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        fooled = self.loss(scores[0].detach(), functional_call(self.discriminator, frozen, (made,)))[1].mean()
        steep = sum(slope(score, at) for score, at in zip(scores, (real, fixed), strict=True)) if self.penalty > 0 else 0.0
        return judged + fooled + self.penalty / 2 * steep

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """The generator's answers to normal noise, (n, dims): one pass."""
        like = next(self.generator.parameters())
        out: Tensor = self.generator(torch.randn(n, self.latent, generator=rng, dtype=like.dtype))
        return out

    def log_prob(self, x: Tensor) -> NoReturn:
        """There is none: always raises NotImplementedError, which says why."""
        raise NotImplementedError("a GAN has no log p(x): it turns noise into x, and nothing says how much noise leads to a given x")


def slope(score: Tensor, x: Tensor) -> Tensor:
    """The mean over the batch of |d score / dx|^2, a number that can itself be gone down on."""
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return gradient.square().sum(1).mean()
