"""The networks of every family, for numbers (B, D): what the recipes `family-*` and the contestants of families.py are built by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from minidiff.families import Autoregressive, EightBit, Flow, Gan, Logistics, Monotone, Vae, couplings, made, minimax, relativistic
from minidiff.families.autoregressive import spread
from minidiff.families.gan import Loss
from minidiff.nn.mlp import MLP, Gained
from minidiff.nn.perceptron import Perceptron

Build = Callable[[int, bool, int], nn.Module]  # how many numbers, are they 8-bit levels, the width of the perceptrons
NOISE = 16  # numbers that a GAN's generator is given


def _gan(loss: Loss, penalty: float) -> Build:
    def build(D: int, eight_bit: bool, width: int) -> nn.Module:
        gamma = penalty if D < 10 else 50 * penalty  # digits lie farther apart than neighbouring points do
        generator: nn.Module = Perceptron(NOISE, D, width)
        if eight_bit:  # within the range of the levels: without it the ground of digits is never quite black, and the critic knows
            generator = nn.Sequential(generator, nn.Tanh())
        return Gan(D, NOISE, generator, Perceptron(D, 1, width), loss, gamma)

    return build


def _vae(D: int, eight_bit: bool, width: int) -> nn.Module:
    latent = min(16, max(2, D // 8))
    return Vae(D, latent, Perceptron(D, 2 * latent, width), Perceptron(latent, 2 * D, width))


def _flow(D: int, eight_bit: bool, width: int) -> nn.Module:
    # one number cannot be divided into what is kept and what is moved
    return Flow(D, [Monotone(width) for _ in range(4)] if D == 1 else couplings(D, 8, width))


def _autoregressive(D: int, eight_bit: bool, width: int) -> nn.Module:
    law = EightBit if eight_bit else Logistics
    if D == 1:  # nothing comes before the only number: no network, all is in its mixture
        return Autoregressive(1, spread(made(1, 3 * width, 1, 0), 1, width), law)
    K = 10 if D < 10 else 4
    return Autoregressive(D, spread(made(D, 3 * K, width), D, K), law)


def _diffusion(D: int, eight_bit: bool, width: int) -> nn.Module:
    return Gained(MLP(D, D, width))


@dataclass(frozen=True)
class Family:
    """How to build one at a width; its learning rate on points, the best of a few tried on "ring"; the two decays of AdamW's averages.

    A game is not gone down: with a momentum of 0.9 its players run past each other, so those of GANs have none (Huang et al. 2024).
    """

    build: Build
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)


FAMILIES = {
    "gan": Family(_gan(relativistic, 0.02), 3e-3, (0.0, 0.99)),
    "gan-minimax": Family(_gan(minimax, 0.0), 2e-3, (0.0, 0.99)),
    "vae": Family(_vae, 5e-3),
    "flow": Family(_flow, 5e-3),
    "autoregressive": Family(_autoregressive, 5e-3),
    "diffusion": Family(_diffusion, 1e-2),
}
OTHERS = {name: family for name, family in FAMILIES.items() if name != "diffusion"}  # a recipe's network.type may name one of these
