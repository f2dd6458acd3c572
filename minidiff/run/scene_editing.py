"""Changing a scene by a caption: image-to-image by partial noising, and a hidden half filled in as the caption says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.arrays import normal
from minidiff.edit import inpaint, start_from
from minidiff.learn.condition import Condition
from minidiff.neighbours import share
from minidiff.nn.scene_judge import SceneJudge
from minidiff.prediction import Denoiser
from minidiff.run.captions import COLOURS, Described, caption_of, unseen
from minidiff.run.evaluate import Plan
from minidiff.run.reading import agrees, digits_seen
from minidiff.run.records import mean_of, plain
from minidiff.run.scene_conditions import captions, pictures
from minidiff.run.scenes import Scene
from minidiff.run.space import Space
from minidiff.sample import dpm_solver, last
from minidiff.wrappers import Clipped, Guided

CHUNK = 50
STRENGTHS = (0.4, 0.6, 0.8)
RESAMPLE = 4  # tries of each step when a half is filled in


def recoloured(said: Described, rng: np.random.Generator) -> Described:
    """The same with the first thing in another colour, of those that training has seen."""
    digit, colour = said.what[0]
    others = [replace(said, what=((digit, c), *said.what[1:])) for c in range(len(COLOURS)) if c != colour]
    allowed = [one for one in others if not unseen(one)]
    return allowed[rng.integers(len(allowed))]


def edited(denoiser: Denoiser, space: Space, x_0: Tensor, cond: Condition, strength: float, plan: Plan) -> Tensor:
    """Pictures x_0 noised a part of the way and denoised as the condition says (SDEdit): (B, 3, H, W) -> the same.

    Noised is what `space` makes of them. See `minidiff.start_from`.
    """
    rng = torch.Generator().manual_seed(plan.seed)
    z, times = start_from(denoiser.schedule, space.encode(x_0), denoiser.schedule.times(plan.steps), strength, normal(rng))
    return space.show(last(dpm_solver(_guided(denoiser, space, plan), z, times, cond))).clamp(-1, 1)


def filled_in(
    denoiser: Denoiser, space: Space, x_0: Tensor, known: Tensor, cond: Condition, plan: Plan, resample: int = RESAMPLE
) -> Tensor:
    """What is not known of pictures drawn as the condition says; known pixels come back as they are. known: bool, like x_0.

    What is hidden is grey before the encoder sees the picture, so that nothing of it leaks; and of latents those are taken as known whose
    own pixels, and their neighbours', all are. See `minidiff.inpaint`.
    """
    rng = torch.Generator().manual_seed(plan.seed)
    z_0 = space.encode(torch.where(known, x_0, torch.zeros_like(x_0)))
    sure = known if space.bounded else certain(known[:, :1], x_0.shape[2] // z_0.shape[2]).expand_as(z_0)
    z = torch.randn(z_0.shape, generator=rng)
    guided, times = _guided(denoiser, space, plan), denoiser.schedule.times(plan.steps)
    made = space.show(last(inpaint(guided, z, times, normal(rng), z_0, sure, cond, resample)))
    return torch.where(known, x_0, made.clamp(-1, 1))


def certain(known: Tensor, factor: int) -> Tensor:
    """Which places of a latent map are known: those whose tile of factor x factor pixels and all eight tiles around it are.

    known (B, 1, H, W) bool -> (B, 1, H / factor, W / factor) bool. Beyond the border there is nothing to hide.
    """
    hidden = F.max_pool2d((~known).float(), factor)
    return F.max_pool2d(hidden, 3, stride=1, padding=1) == 0


def _guided(denoiser: Denoiser, space: Space, plan: Plan) -> Denoiser:
    guided = Guided(denoiser, plan.scale)
    return Clipped(guided) if space.bounded else guided


def judge_edits(denoiser: Denoiser, space: Space, judge: SceneJudge, some: Sequence[Scene], plan: Plan) -> dict[str, Any]:
    """Pairs of digits whose caption gives the first another colour. By strength: all right by the new caption; how far the ground moved.

    "all": the share that the judge reads as the new caption says. "ground": the root mean square change of pixels outside all boxes,
    where levels run from -1 to 1. floor of "all": the same scenes as they were, by the new caption: 0 but for the judge's errors.
    """
    pairs = [s for s in some if s.said and s.said.form in ("above", "left of")]
    rng = np.random.default_rng(plan.seed)
    wanted = [recoloured(s.said, rng) for s in pairs if s.said]
    cond, x = captions([caption_of(one, rng) for one in wanted]), pictures(pairs)
    ground = torch.from_numpy(np.stack([s.map for s in pairs])) == 0
    before = _all_right(judge, x, wanted)
    found = {}
    for strength in STRENGTHS:
        plans = [(i, replace(plan, seed=plan.seed + int(i[0]))) for i in _chunks(len(x))]
        y = torch.cat([edited(denoiser, space, x[i], _part(cond, i), strength, one) for i, one in plans])
        moved = ((y - x) ** 2).mean(1) * ground
        rms = (moved.sum((1, 2)) / ground.sum((1, 2))).sqrt().double().numpy()
        hits = _all_right(judge, y, wanted)
        found[f"strength {strength:g}"] = {
            "n": len(x), "all": plain(share(sum(hits), len(x), float(np.mean(before)))), "ground": mean_of(rms)
        }  # fmt: skip
    return found


def judge_filling(denoiser: Denoiser, space: Space, judge: SceneJudge, some: Sequence[Scene], plan: Plan) -> dict[str, Any]:
    """Pairs of digits of which the half with the second is hidden; the caption says what was there. "all": read as the caption says.

    "without words": the same with the empty caption, where only chance can be right. floor: of the scenes as they were.
    """
    pairs = [s for s in some if s.said and s.said.form in ("above", "left of")]
    x, said = pictures(pairs), [s.said for s in pairs if s.said]
    known = torch.zeros(x.shape, dtype=torch.bool)
    for mask, one in zip(known, said, strict=True):
        if one.form == "above":
            mask[:, : x.shape[2] // 2] = True
        else:
            mask[:, :, : x.shape[3] // 2] = True
    real = float(np.mean(_all_right(judge, x, said)))
    out: dict[str, Any] = {"n": len(x)}
    for name, cond in (("all", captions([s.caption for s in pairs])), ("without words", captions([""] * len(pairs)))):
        y = torch.cat([
            filled_in(denoiser, space, x[i], known[i], _part(cond, i), replace(plan, seed=plan.seed + int(i[0]))) for i in _chunks(len(x))
        ])  # fmt: skip
        out[name] = plain(share(sum(_all_right(judge, y, said)), len(x), real))
    return out


def _all_right(judge: SceneJudge, x: Tensor, said: Sequence[Described]) -> list[bool]:
    return [agrees(seen, one)["all"] for seen, one in zip(digits_seen(judge, x), said, strict=True)]


def _chunks(n: int) -> Sequence[Tensor]:
    return torch.arange(n).split(CHUNK)


def _part(cond: Condition, i: Tensor) -> Condition:
    return Condition(*[None if part is None else part[i] for part in (cond.vector, cond.tokens, cond.image)])
