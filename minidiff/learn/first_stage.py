"""Training an autoencoder: what a reconstruction costs, term by term, and the objective that `descend` goes down on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minidiff.learn import distributed
from minidiff.learn.train import Batch, Training
from minidiff.nn.autoencoder import Autoencoder, VQAutoencoder
from minidiff.nn.discriminator import PatchDiscriminator, fooled, hinge

Features = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Weights:
    """How much each term counts beside the squared error, which is summed over pixels.

    regulariser: of the KL divergence (about 1e-6: the latent is hardly pulled towards N(0, 1), which is why it must be scaled later), or
    of the codebook's loss (1). perceptual: of squared distances of features. adversarial: of the patch discriminator, which begins to learn
    at step `late` and counts from there on.
    """

    regulariser: float = 1e-6
    perceptual: float = 0.0
    adversarial: float = 0.0
    late: int = 0


class FirstStage(nn.Module):
    """An autoencoder in training, together with its discriminator, if it has one; only the autoencoder is published."""

    autoencoder: Autoencoder
    discriminator: PatchDiscriminator | None

    def __init__(self, autoencoder: Autoencoder, discriminator: PatchDiscriminator | None = None) -> None:
        super().__init__()
        self.autoencoder, self.discriminator = autoencoder, discriminator

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.autoencoder.decode(self.autoencoder.encode(x).mean)
        return out


def first_stage_terms(
    stage: FirstStage, x: Tensor, noise: Tensor, features: Features | None = None, fight: bool = True
) -> dict[str, Tensor]:
    """Each term of the loss for each picture, (B,), summed over features: reconstruction, regulariser, and the others where asked for.

    Source: Rombach et al. 2022, Eq. 25 (appendix G; numbering unconfirmed). features: maps of a frozen network for the perceptual term;
    their squared distance, each map's channels of unit length at every place, is summed and brought to the size of the pixels' one.
    fight: whether the discriminator takes part yet. Checked by tests/test_autoencoder.py and `minidiff verify` (latent).
    """
    made, regulariser = stage.autoencoder(x, noise)
    terms = {"reconstruction": ((x - made) ** 2).flatten(1).sum(1), "regulariser": regulariser}
    if features is not None:
        terms["perceptual"] = x[0].numel() * perceptual(features(x), features(made))
    if stage.discriminator is not None and fight:
        terms["adversarial"] = x[0].numel() * fooled(stage.discriminator, made)
        terms["discriminator"] = x[0].numel() * hinge(stage.discriminator, x, made)
    return terms


def perceptual(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Squared distance of feature maps whose channels are of unit length at each place: mean over places, then over maps, (B,).

    Source: Zhang et al. 2018 (LPIPS), Eq. 1, without learned weights for the channels.
    """
    each = [((unit(a).detach() - unit(b)) ** 2).sum(1).flatten(1).mean(1) for a, b in zip(real, made, strict=True)]
    return torch.stack(each).mean(0)


def unit(x: Tensor) -> Tensor:
    """The channels of a map (B, C, H, W), of length 1 at every place."""
    return x / (x.square().sum(1, keepdim=True) + 1e-10).sqrt()


def first_stage_objective(
    training: Training, batch: Batch, weights: Weights = Weights(), features: Features | None = None
) -> Callable[[torch.Generator], Iterator[Tensor]]:
    """The objective of `descend` for a FirstStage: the weighted terms, per feature, a part for each share of the batch.

    The discriminator's own term has weight 1: it is the only one that reaches its weights.
    """
    stage = stage_of(training)
    counts = {
        "reconstruction": 1.0, "regulariser": weights.regulariser, "perceptual": weights.perceptual,
        "adversarial": weights.adversarial, "discriminator": 1.0,
    }  # fmt: skip

    def objective(rng: torch.Generator) -> Iterator[Tensor]:
        x, _ = batch(rng)
        noise = torch.randn(stage.autoencoder.latent_shape(x), generator=rng)
        _tend(stage.autoencoder, x.to(training.device), rng)
        for rows in distributed.shares(len(x), training.accumulate):
            mine, its_noise = (distributed.part(value, rows, training.device) for value in (x, noise))
            terms = first_stage_terms(stage, mine, its_noise, features, fight=training.step >= weights.late)
            yield torch.stack([counts[name] * term.sum() for name, term in terms.items()]).sum() / len(x) / x[0].numel()

    return objective


def stage_of(training: Training) -> FirstStage:
    """The FirstStage that a training is of; TypeError if it is of something else."""
    if not isinstance(training.network, FirstStage):
        raise TypeError(f"an autoencoder is trained as a FirstStage; got a {type(training.network).__name__}")
    return training.network


@torch.no_grad()
def _tend(autoencoder: Autoencoder, x: Tensor, rng: torch.Generator) -> None:
    """A codebook needs tending: count which codes a few pictures take, and move the dead ones."""
    if isinstance(autoencoder, VQAutoencoder):
        z = autoencoder.encode(x[:16]).mean
        autoencoder.codebook.revive(z, rng)
        autoencoder.codebook.count(autoencoder.codebook.nearest(z))
