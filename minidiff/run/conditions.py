"""What a network is told of x_0: a label, a coarse picture, a part of it. Training and sampling make it by the same functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.learn.condition import Condition
from minidiff.run.digits import mnist
from minidiff.run.store import scale


def label(labels: Any, classes: int = 10) -> Condition:
    """One-hot vectors: labels (B,) of 0..classes - 1 -> Condition(vector=(B, classes)). ValueError for a label outside."""
    labels = torch.as_tensor(labels)
    if labels.ndim != 1 or labels.is_floating_point() or not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"labels must be integers 0..{classes - 1} of shape (B,); got {labels.tolist()}")
    return Condition(vector=F.one_hot(labels.long(), classes).float())


def low_resolution(x: Tensor, factor: int = 4) -> Tensor:
    """The picture with every factor x factor tile replaced by its mean: (B, C, H, W) -> (B, C, H, W).

    What a camera with fewer pixels sees, enlarged again by repeating. ValueError if H or W is no multiple of factor.
    """
    if x.ndim != 4 or factor < 1 or x.shape[2] % factor or x.shape[3] % factor:
        raise ValueError(f"x must be (B, C, H, W) with H and W multiples of factor = {factor}; got {tuple(x.shape)}")
    return F.interpolate(F.avg_pool2d(x, factor), scale_factor=float(factor), mode="nearest")


def coarse(x: Tensor, factor: int = 4) -> Condition:
    """`low_resolution` as the picture joined to the network's input."""
    return Condition(image=low_resolution(x, factor))


def partly(x: Tensor, known: Tensor) -> Condition:
    """What is known of a picture, and where: x and known (B, C, H, W), known bool -> image (B, 2C, H, W), zeros where unknown."""
    if known.shape != x.shape or known.dtype != torch.bool:
        raise ValueError(f"known must be bool of shape {tuple(x.shape)}; got {known.dtype} {tuple(known.shape)}")
    return Condition(image=torch.cat([torch.where(known, x, torch.zeros_like(x)), known.to(x)], dim=1))


def holes(shape: Sequence[int], rng: torch.Generator, low: int = 8, high: int = 20) -> Tensor:
    """Masks with a rectangular hole each, bool, True where known: sides of low..high pixels, the middle on any pixel.

    A hole may hang over the edge: otherwise the corners would be known almost always.
    """
    B, _, H, W = shape
    if not 1 <= low <= high <= min(H, W):
        raise ValueError(f"holes must have sides 1 <= low <= high <= {min(H, W)}; got {low} and {high}")
    inside = []
    for size in (H, W):
        side = torch.randint(low, high + 1, (B,), generator=rng)
        first = torch.randint(0, size, (B,), generator=rng) - side // 2
        at = torch.arange(size)
        inside.append((at >= first[:, None]) & (at < (first + side)[:, None]))
    return ~(inside[0][:, :, None] & inside[1][:, None, :])[:, None].expand(*shape)


@dataclass(frozen=True)
class Told:
    """One kind of condition: what a network needs for it, and make(x_0, about, rng) -> Condition or None, as training does.

    about: what is known of each x_0: its label (B,), its picture (B, C, H, W) or its scene, as `of` says. tau: makes the tau_theta of a
    network that is told tokens.
    """

    make: Callable[[Tensor, Any, torch.Generator], Condition | None]
    vector_dim: int = 0
    image_channels: int = 0
    tau: Callable[[], nn.Module] | None = None
    of: str = "label"


def _any_factor(x: Tensor, labels: Tensor, rng: torch.Generator) -> Condition:
    """A factor of 2 or 4 for each picture, by a coin: one network learns both."""
    two = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
    return Condition(image=torch.where(two, low_resolution(x, 2), low_resolution(x, 4)))


def layout(x: Tensor, tile: int = 8) -> Tensor:
    """The mean colour of each tile of a picture, one number a place of the latent map of f = 4: (B, C, H, W) -> (B, C, H / 4, W / 4)."""
    return F.interpolate(F.avg_pool2d(x, tile), scale_factor=tile / 4, mode="nearest")


CONDITIONS: dict[str, Told] = {
    "": Told(lambda x, labels, rng: None),
    "label": Told(lambda x, labels, rng: label(labels), vector_dim=10),
    "low-resolution": Told(_any_factor, image_channels=1),
    "known-part": Told(lambda x, labels, rng: partly(x, holes(x.shape, rng)), image_channels=2),
    "layout": Told(lambda z, picture, rng: Condition(image=layout(picture)), image_channels=3, of="picture"),
}


def for_samples(network: nn.Module, n: int, digit: int | None = None) -> Condition | None:
    """What to tell a network when n samples are asked for; None if it takes nothing.

    Labels: the digit, or 0 to 9 in turn. A picture: the first n test digits, coarse by 4 or without their lower half. ValueError for a
    digit that the network cannot be told.
    """
    if getattr(network, "vector_dim", 0):
        return label([i % 10 if digit is None else digit for i in range(n)])
    if digit is not None:
        raise ValueError("--label asks for a digit, and these weights know no labels; mnist-label does")
    channels = getattr(network, "image_channels", 0)
    if not channels:
        return None
    x = scale(mnist("test").images[:n])
    if len(x) < n:
        raise ValueError(f"these weights restore given pictures, and there are {len(x)} test digits; -n must be at most that")
    return coarse(x) if channels == 1 else partly(x, torch.arange(28).reshape(1, 1, 28, 1).expand(x.shape) < 14)
