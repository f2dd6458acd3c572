"""Notebook 12: a walk from one photograph to another, in pixels and in the space of an autoencoder; what lies half-way?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from minidiff.learn.latent import LatentSpace
from minidiff.notebook.widgets import Explorer, choice, explorer, patient, slider
from minidiff.run.reconstruction import psnr

STOPS = 9  # pictures on each walk, both ends included
SHARES = torch.linspace(0, 1, STOPS).reshape(-1, 1, 1, 1)
COLOURS = {"pixels": "C5", "straight": "C0", "spherical": "C1"}
HEAD = "".join(f"{name:>10s}" for name in ("first", "second", "blend", "contrast", "|z|"))


class Walk(NamedTuple):
    """From one picture to another, by three ways: pictures name -> (STOPS, C, H, W), latents (two ways only), the angle in degrees."""

    pictures: dict[str, Tensor]
    latents: dict[str, Tensor]
    angle: float


def angle_between(a: Tensor, b: Tensor) -> float:
    """The angle of two latents as vectors, radians."""
    a, b = a.flatten().double(), b.flatten().double()
    return float(torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1, 1)))


def spherical(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """(sin((1 - share) angle) a + sin(share angle) b) / sin(angle): ends of one length are joined at that length, at even speed.

    sin(share angle) / sin(angle) is written with sinc, which stays finite as the angle goes to 0; there it is the straight line.
    Source: Shoemake 1985, section 3.3. Checked by tests/test_latent_widgets.py.
    """
    part = torch.tensor(angle_between(a, b) / np.pi, dtype=torch.float64)
    first, second = ((s * torch.sinc(s.double() * part) / torch.sinc(part)).to(a.dtype) for s in (1 - share, share))
    return first * a + second * b


def walk(space: LatentSpace, first: Tensor, second: Tensor) -> Walk:
    """Three ways from first to second, each (C, H, W) in [-1, 1]: pixels blended, latents blended, latents turned (`spherical`)."""
    z = space.encode(torch.stack([first, second])).mean
    latents = {"straight": (1 - SHARES) * z[:1] + SHARES * z[1:], "spherical": spherical(z[:1], z[1:], SHARES)}
    decoded = space.decode(torch.cat(list(latents.values()))).clamp(-1, 1).split(STOPS)
    pictures = {"pixels": (1 - SHARES) * first[None] + SHARES * second[None], **dict(zip(latents, decoded, strict=True))}
    return Walk(pictures, latents, float(np.degrees(angle_between(z[0], z[1]))))


def contrast(x: Tensor) -> Tensor:
    """How much neighbouring pixels differ, root mean square over pixels and both directions: (B,). A blurred or pale picture has little."""
    across, down = (x[..., 1:] - x[..., :-1]).square(), (x[..., 1:, :] - x[..., :-1, :]).square()
    return ((across.flatten(1).mean(1) + down.flatten(1).mean(1)) / 2).sqrt()


def kept_contrast(x: Tensor) -> Tensor:
    """Contrast along a walk, relative to what its own two ends have, mixed in the same shares: 1 where nothing is lost."""
    found, share = contrast(x), SHARES.flatten()
    return found / ((1 - share) * found[0] + share * found[-1])


def latent_explorer(spaces: Mapping[str, LatentSpace], x: Tensor) -> Explorer:
    """Two photographs of x (B, C, H, W) and a space to walk in; `share` is how far to go. Decoded once for each pair and space.

    ValueError without a space or with fewer than two pictures. Checked by tests/test_latent_widgets.py.
    """
    if not spaces or len(x) < 2:
        raise ValueError(f"a walk needs a space and two pictures; got {len(spaces)} spaces and {len(x)} pictures")

    @lru_cache(maxsize=32)
    def walked(space: str, first: int, second: int) -> Walk:
        return walk(spaces[space], x[first], x[second])

    def update(space: str, first: int, second: int, share: float) -> Figure:
        return walk_figure(walked(space, first, second), share, space)

    def readout(space: str, first: int, second: int, share: float) -> str:
        return walk_readout(walked(space, first, second), share)

    last = len(x) - 1
    return explorer(
        update, readout, space=choice(list(spaces)),
        first=patient(slider(0, 0, last)), second=patient(slider(1, 0, last)), share=patient(slider(0.5, 0.0, 1.0, 1 / (STOPS - 1))),
    )  # fmt: skip


def walk_figure(found: Walk, share: float, space: str) -> Figure:
    """Three walks, one below the other, the stop at `share` framed; and the contrast along each."""
    fig = Figure(figsize=(10.2, 2.9), layout="constrained")
    a, b = fig.subplots(1, 2, width_ratios=(2.1, 1))
    rows = [torch.cat(list(x), dim=2) for x in found.pictures.values()]
    side, k = rows[0].shape[1], stop_at(share)
    sheet = (torch.cat(rows, dim=1).permute(1, 2, 0).numpy() + 1) / 2
    a.imshow(sheet, interpolation="nearest")
    a.add_patch(Rectangle((k * side - 0.5, -0.5), side, len(rows) * side, fill=False, edgecolor="black", linewidth=2.5, clip_on=False))
    a.set(title=f"from one to the other: pixels, and {space}", xlabel="share of the second")
    a.set_yticks([(r + 0.5) * side for r in range(len(rows))], list(found.pictures))
    a.set_xticks([(i + 0.5) * side for i in range(0, STOPS, 2)], [f"{i / (STOPS - 1):.2f}" for i in range(0, STOPS, 2)])
    a.tick_params(length=0)
    a.grid(False)
    for name, x in found.pictures.items():
        b.plot(SHARES.flatten(), kept_contrast(x), "o-", markersize=3, color=COLOURS[name], label=name)
    b.axvline(k / (STOPS - 1), color="0.4", linewidth=1, linestyle="--")
    b.set(xlabel="share of the second", title="contrast, relative to the ends", ylim=(0.4, 1.4))
    b.legend(fontsize=8, ncols=3, loc="upper center")
    return fig


def stop_at(share: float) -> int:
    """The stop that a share is nearest to."""
    return round(share * (STOPS - 1))


def walk_readout(found: Walk, share: float) -> str:
    """What there is to measure at one stop: how near each end is, how near the blend of pixels, contrast, and the size of the latent."""
    k = stop_at(share)
    ends = found.pictures["pixels"][0], found.pictures["pixels"][-1]
    lines = [f"share {k / (STOPS - 1):.3f}, angle of the latents {found.angle:.0f} degrees; dB (PSNR) to:", " " * 10 + HEAD]
    for name, x in found.pictures.items():
        near = [float(psnr(x[k : k + 1], y[None])) for y in (*ends, found.pictures["pixels"][k])]
        size = f"{float(found.latents[name][k].square().mean().sqrt()):.2f}" if name in found.latents else "-"
        cells = [f"{d:.1f}" if d < 99 else "equal" for d in near] + [f"{float(kept_contrast(x)[k]):.2f}", size]
        lines.append(f"{name:10s}" + "".join(f"{cell:>10s}" for cell in cells))
    return "\n".join(lines)
