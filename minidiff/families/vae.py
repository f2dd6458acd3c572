"""Variational autoencoders: a latent z that nobody sees, a second network that guesses it, and a bound on log p(x)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from minidiff.families.family import points
from minidiff.gaussian import Gaussian


class Vae(nn.Module):
    """p(x) = E_{z ~ N(0, I)} p(x | z), with p(x | z) Gaussian of learned mean and variance, and q(z | x) Gaussian to stand for p(z | x).

    encoder: (B, dims) -> (B, 2 latent), decoder: (B, latent) -> (B, 2 dims): means, then logarithms of variances, of which every number has
    its own. Source: Kingma & Welling 2014, Eq. 3; Rezende et al. 2014. Checked by `minidiff verify` (families VAE): quadrature.
    """

    def __init__(self, dims: int, latent: int, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.dims, self.latent, self.encoder, self.decoder = dims, latent, encoder, decoder

    def posterior(self, x: Tensor) -> Gaussian:
        """q(z | x), mean (B, latent). ValueError unless x is (B, dims)."""
        return _gaussian(self.encoder(points(x, self.dims)))

    def likelihood(self, z: Tensor) -> Gaussian:
        """p(x | z), mean (B, dims)."""
        return _gaussian(self.decoder(z))

    def bound(self, x: Tensor, noise: Tensor) -> Tensor:
        """E_q log p(x | z) - KL(q(z | x) || N(0, I)) <= log p(x), nats, (B,), the expectation by one z = mean + std * noise.

        noise: standard normal, (B, latent). The KL is exact. log p(x) exceeds the expectation by KL(q(z | x) || p(z | x)).
        """
        q = self.posterior(x)
        likelihood = self.likelihood(q.sample(noise)).log_prob(x).sum(1)
        kl: Tensor = q.kl(Gaussian(0 * q.mean, 1.0)).sum(1)
        return likelihood - kl

    def importance(self, x: Tensor, noise: Tensor) -> Tensor:
        """log 1/K sum_k p(x, z_k) / q(z_k | x), nats, (B,): a bound too, tighter on average the larger K; `bound` in the mean for K = 1.

        noise: (K, B, latent). Source: Burda, Grosse & Salakhutdinov 2016, Eq. 8.
        """
        q = self.posterior(x)
        logs = []
        for each in noise:
            z = q.sample(each)
            prior, guessed = Gaussian(0 * z, 1.0).log_prob(z).sum(1), q.log_prob(z).sum(1)
            logs.append(self.likelihood(z).log_prob(x).sum(1) + prior - guessed)
        return torch.logsumexp(torch.stack(logs), 0) - math.log(len(logs))

    def objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """-bound per feature."""
        return -self.bound(x, torch.randn(len(x), self.latent, generator=rng, dtype=x.dtype)).mean() / self.dims

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """x ~ p(x | z), z ~ N(0, I), (n, dims). The decoder's noise belongs to the model; its mean alone is another law."""
        like = next(self.decoder.parameters())
        p = self.likelihood(torch.randn(n, self.latent, generator=rng, dtype=like.dtype))
        out: Tensor = p.sample(torch.randn(n, self.dims, generator=rng, dtype=like.dtype))
        return out


def _gaussian(numbers: Tensor) -> Gaussian:
    """Means, then log variances; these bend away from -14 and 6, so that no step can make a density infinite."""
    mean, raw = numbers.chunk(2, 1)
    return Gaussian(mean, torch.exp(-4 + 10 * torch.tanh((raw + 4) / 10)))
