"""How well does a network draw scenes that it is told? Read back by the judge, beside what the judge reads in real scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.learn.checkpoint import load, read_metadata
from minidiff.learn.condition import Condition
from minidiff.learn.latent import LatentSpace
from minidiff.neighbours import share
from minidiff.nn.scene_judge import SceneJudge
from minidiff.prediction import Denoiser
from minidiff.run.captions import Described, unseen
from minidiff.run.conditions import low_resolution
from minidiff.run.digits import mnist
from minidiff.run.evaluate import Plan
from minidiff.run.first_stages import load_latent_space
from minidiff.run.jobs import load_scene_judge
from minidiff.run.networks import build
from minidiff.run.reading import agrees, digits_seen, log_shares, map_agreement
from minidiff.run.reconstruction import psnr
from minidiff.run.records import mean_of, plain, resampled
from minidiff.run.sampling import path
from minidiff.run.scene_conditions import SIDE, captions, coarse_of, map_of, pictures
from minidiff.run.scene_editing import judge_edits, judge_filling
from minidiff.run.scenes import Scene, Scenes
from minidiff.run.space import Space, space_of
from minidiff.run.store import Pictures
from minidiff.wrappers import Clipped, Guided

CHUNK = 50  # scenes of the training size sampled at once
ASKED = ("digit", "colour", "things", "relation", "all")
Kept = Callable[[Described], bool]
SECTIONS = ("captions", "image-to-image", "inpainting", "maps", "superres")
KINDS: dict[str, Kept] = {"seen": lambda said: not unseen(said), "unseen": unseen}


def held_out(
    n: int, kind: str, seed: int = 0, size: tuple[int, int] = (SIDE, SIDE), allowed: Kept = KINDS["seen"], digits: Pictures | None = None
) -> list[Scene]:
    """n scenes of test digits, of a seed that no training has used. digits: whose handwriting, by default MNIST's test set."""
    made = Scenes(digits or mnist("test"), 1_000_000 + seed, size, kind, allowed)
    return [made[k] for k in range(n)]


def evaluate_scenes(path_of: Path, plan: Plan) -> dict[str, Any]:
    """What the weights are told decides what is judged: "captions", "maps" or "superres"; of a judge "ceiling"; of an autoencoder
    "reconstruction". Plain values, ready for JSON.
    """
    metadata = read_metadata(path_of)
    told, test = metadata["recipe"]["told"], mnist("test")
    result: dict[str, Any] = {"data": {"digits": [test.name, len(test)]}}
    if metadata["recipe"]["network"]["type"] == "scene-judge":
        return result | {"ceiling": judge_ceiling(load_scene_judge(path_of), plan.n, plan.seed)}
    if metadata["recipe"]["network"]["type"] == "autoencoder":
        return result | {"reconstruction": judge_scene_reconstruction(load_latent_space(path_of), load_scene_judge(), plan.n, plan.seed)}
    denoiser, space, judge = load(path_of, build), space_of(metadata, path_of.parent.parent), load_scene_judge()
    name = plan.name
    if told == "caption":
        both = {kind: held_out(plan.n, "text", plan.seed, allowed=allowed) for kind, allowed in KINDS.items()}
        read = {f"{name}, {kind}": judge_captions(denoiser, space, judge, some, plan) for kind, some in both.items()}
        edits = {f"{name}, {how}": found for how, found in judge_edits(denoiser, space, judge, both["seen"], plan).items()}
        filling = {name: judge_filling(denoiser, space, judge, both["seen"], plan)}
        return result | {"captions": read, "image-to-image": edits, "inpainting": filling}
    some = held_out(plan.n, "crowd", plan.seed)
    if told in ("map", "map tokens"):
        return result | {"maps": {name: judge_maps(denoiser, space, judge, some, plan)}}
    return result | {"superres": {name: judge_superres(denoiser, space, judge, some, plan)}}


def judge_ceiling(judge: SceneJudge, n: int, seed: int = 0) -> dict[str, Any]:
    """What the judge reads in real scenes of test digits: captions, and maps of crowds. What a perfect model would be credited with."""
    text = held_out(n, "text", seed, allowed=lambda said: True)
    crowd = held_out(n, "crowd", seed)
    found = _readings(judge, pictures(text), text)
    return {key: plain(share(sum(f[key] for f in found), n, 1.0)) for key in ASKED} | agreement(judge, pictures(crowd), crowd)


def judge_scene_reconstruction(space: LatentSpace, judge: SceneJudge, n: int, seed: int = 0) -> dict[str, Any]:
    """What is left of real scenes that went through the autoencoder: what the judge reads, beside the scenes themselves, and PSNR.

    No model in this latent space can be credited with more.
    """
    text = held_out(n, "text", seed, allowed=lambda said: True)
    crowd = held_out(n, "crowd", seed)
    (x, y), (a, b) = ([pictures(some), passed(space, pictures(some))] for some in (text, crowd))
    found, real = (_readings(judge, p, text) for p in (y, x))
    out = {key: plain(share(sum(f[key] for f in found), n, float(np.mean([r[key] for r in real])))) for key in ASKED}
    before = agreement(judge, a, crowd)
    out |= {key: m | {"floor": before[key]["value"]} for key, m in agreement(judge, b, crowd).items()}
    return {"n": n, "psnr": mean_of(psnr(y, x).double().numpy())} | out


def passed(space: LatentSpace, x: Tensor) -> Tensor:
    """Pictures through the autoencoder: the mean of q(z | x) decoded, clipped to [-1, 1]."""
    return torch.cat([space.decode(space.encode(part).mean) for part in x.split(CHUNK)]).clamp(-1, 1)


def drawn(denoiser: Denoiser, space: Space, cond: Condition, size: tuple[int, int], plan: Plan, chunk: int = CHUNK) -> Tensor:
    """One scene of H x W pixels for each condition: (n, 3, H, W) in [-1, 1]. Guided by plan.scale; each chunk has a seed of its own."""
    guided: Denoiser = denoiser if plan.scale == 1 else Guided(denoiser, plan.scale)
    inner: Denoiser = Clipped(guided) if space.bounded else guided
    given = cond.tokens if cond.tokens is not None else cond.image
    assert given is not None
    parts, n = [], len(given)
    bar = tqdm(total=n, unit="scene", desc=plan.sampler, disable=None)
    for i in range(0, n, chunk):
        one = Condition(*[None if part is None else part[i : i + chunk] for part in (cond.vector, cond.tokens, cond.image)])
        rng = torch.Generator().manual_seed(1_000_003 * plan.seed + i)
        x = space.noise(min(chunk, n - i), size, rng)
        for step in path(inner, x, plan.sampler, plan.steps, rng, one):
            x = step.x_t
        parts.append(space.show(x).clamp(-1, 1))
        bar.update(len(x))
    bar.close()
    return torch.cat(parts)


def judge_captions(denoiser: Denoiser, space: Space, judge: SceneJudge, some: list[Scene], plan: Plan) -> dict[str, Any]:
    """One picture for each caption: the share in which the judge reads the digits, colours, both, relation and all that was said.

    floor: the same of the real scenes. "by_form": the share with all right for each form of caption.
    """
    x = drawn(denoiser, space, captions([s.caption for s in some]), (SIDE, SIDE), plan)
    found, real = (_readings(judge, y, some) for y in (x, pictures(some)))
    out: dict[str, Any] = {"n": len(some)}
    out |= {key: plain(share(sum(f[key] for f in found), len(some), float(np.mean([r[key] for r in real])))) for key in ASKED}
    forms = sorted({s.said.form for s in some if s.said})
    mine = {form: [f["all"] for f, s in zip(found, some, strict=True) if s.said and s.said.form == form] for form in forms}
    return out | {"by_form": {form: [int(sum(hits)), len(hits)] for form, hits in mine.items()}}


def _readings(judge: SceneJudge, x: Tensor, some: list[Scene]) -> list[dict[str, bool]]:
    return [agrees(seen, s.said) for seen, s in zip(digits_seen(judge, x), some, strict=True) if s.said]


def judge_maps(denoiser: Denoiser, space: Space, judge: SceneJudge, some: list[Scene], plan: Plan) -> dict[str, Any]:
    """One picture for each map, whatever its size: agreement by pixels and in boxes, digits and colours right; floor: of real scenes."""
    size = some[0].map.shape
    reads_tokens = getattr(getattr(denoiser, "network", None), "tau", None) is not None
    x = drawn(denoiser, space, map_of(some, reads_tokens), (size[0], size[1]), plan, max(1, CHUNK * SIDE**2 // (size[0] * size[1])))
    real = agreement(judge, pictures(some), some)
    found = agreement(judge, x, some)
    return {"n": len(some)} | {key: m | {"floor": real[key]["value"]} for key, m in found.items()}


def agreement(judge: SceneJudge, x: Tensor, some: list[Scene]) -> dict[str, Any]:
    """How pictures (B, 3, H, W) agree with the maps of scenes: by pixels, by pixels in boxes, and the digits and colours of whole boxes."""
    by_pixel = map_agreement(judge, x, torch.from_numpy(np.stack([s.map for s in some]).astype(np.int64)))
    right = [boxes_right(*parts) for parts in zip(*(p.numpy() for p in log_shares(judge, x)), some, strict=True)]
    hits, counts = np.array([r[:2] for r in right], float), np.array([r[2] for r in right], float)
    there = counts > 0
    out = {"pixels": mean_of(by_pixel["pixels"]), "boxes": mean_of(by_pixel["boxes"][~np.isnan(by_pixel["boxes"])])}
    for k, key in enumerate(("digits", "colours")):
        mine, of = hits[there, k], counts[there]
        out[key] = resampled(lambda i, mine=mine, of=of: float(mine[i].sum() / of[i].sum()), int(there.sum()))  # type: ignore[misc]
    return out


def boxes_right(classes: np.ndarray, tints: np.ndarray, scene: Scene) -> tuple[int, int, int]:
    """Of the digits wholly on the canvas, in how many boxes the likeliest digit and the likeliest colour are right; and their number.

    classes (11, H, W) and tints (7, H, W): log p of every pixel, added up over a box.
    """
    H, W = scene.map.shape
    whole = [d for d in scene.digits if d.top >= 0 and d.left >= 0 and d.top + d.height <= H and d.left + d.width <= W]
    right = [0, 0]
    for d in whole:
        box = np.s_[1:, d.top : d.top + d.height, d.left : d.left + d.width]
        for k, (shares, want) in enumerate(((classes, d.digit), (tints, d.colour))):
            right[k] += int(shares[box].sum((1, 2)).argmax() == want)
    return right[0], right[1], len(whole)


def judge_superres(denoiser: Denoiser, space: Space, judge: SceneJudge, some: list[Scene], plan: Plan) -> dict[str, Any]:
    """From one pixel in sixteen: PSNR of a draw, and of the coarse picture itself; digits and colours read as in the map."""
    x = pictures(some)
    y = drawn(denoiser, space, coarse_of(x), (SIDE, SIDE), plan)
    real = agreement(judge, x, some)

    def db(other: Tensor) -> dict[str, Any]:
        error = ((other - x) ** 2).mean((1, 2, 3)).double().numpy()
        return resampled(lambda i: float(10 * np.log10(4 / error[i].mean())), len(error))

    found = agreement(judge, y, some)
    out: dict[str, Any] = {"n": len(some), "psnr": db(y), "psnr_without_network": db(low_resolution(x, 4))}
    return out | {key: found[key] | {"floor": real[key]["value"]} for key in ("digits", "colours")}


def table(result: dict[str, Any]) -> str:
    """The result for the eye: one line a number, with its interval, its floor and its n."""
    form, lines = "{:<24}{:>10}  {:<24}{:>12}{:>8}", ["digits of {}, {:,}".format(*result["data"]["digits"])]
    blocks = [("ceiling of the judge", result["ceiling"])] if "ceiling" in result else []
    blocks += [("through the autoencoder", result["reconstruction"])] if "reconstruction" in result else []
    blocks += [(f"{what}: {name}", found) for what in SECTIONS for name, found in result.get(what, {}).items()]
    for title, found in blocks:
        lines += ["", title, form.format("", "value", "95% interval", "real", "n")]
        for key, m in found.items():
            if isinstance(m, dict) and "value" in m:
                lines.append(form.format(key, m["value"], "{} to {}".format(*m["interval_95"]), m.get("floor", ""), m["n"]))
        if "by_form" in found:
            lines.append("all right, by form: " + ", ".join(f"{name} {a} of {b}" for name, (a, b) in found["by_form"].items()))
    return "\n".join(lines)
