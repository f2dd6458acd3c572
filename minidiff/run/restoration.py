"""How well are given pictures restored? Errors of one draw and of the mean of several, judged on test digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.neighbours import share
from minidiff.nn.classifier import Judge
from minidiff.run.conditions import coarse, holes, low_resolution, partly
from minidiff.run.records import plain, resampled
from minidiff.run.store import Pictures, scale
from minidiff.sample import dpm_solver, last
from minidiff.wrappers import Clipped

DRAWS = 4  # of each picture
CHUNK = 50


def tasks(channels: int, x: Tensor) -> dict[str, tuple[Condition, Tensor, Tensor]]:
    """What to restore: name -> (condition, the best guess without a network, bool mask of the pixels that are wanted).

    One image channel: coarse pictures by 2 and 4, each tile repeated. Two: rectangular holes, filled with background.
    """
    if channels == 1:
        everywhere = torch.ones_like(x, dtype=torch.bool)
        return {f"x{f}": (coarse(x, f), low_resolution(x, f), everywhere) for f in (2, 4)}
    known = holes(x.shape, torch.Generator().manual_seed(0))
    return {"holes": (partly(x, known), torch.where(known, x, -torch.ones_like(x)), ~known)}


def judge_restoration(denoiser: NetworkDenoiser, judge: Judge, test: Pictures, n: int, steps: int, seed: int = 0) -> dict[str, Any]:
    """Of n test digits drawn at random, for each task: PSNR over the wanted pixels, the share read as the original, and a test of the law.

    Given the same y, the truth x_0 and a draw are independent draws of one law if the sampler is right; then
    E|x - x_0|^2 / E|mean of K draws - x_0|^2 = 2 K / (K + 1). `error_ratio` holds this ratio against that value, its `floor`.
    Intervals: shares as Wilson's, the others by resampling pictures. Checked by tests/test_restoration.py (exact posteriors).
    """
    order = np.random.default_rng(seed).permutation(len(test))[:n]
    x, labels = scale(test.images[order]), torch.from_numpy(test.labels[order].astype(np.int64))
    right = float((read(judge, x) == labels).float().mean())
    found = {}
    for name, (cond, guess, wanted) in tasks(int(getattr(denoiser.network, "image_channels", 0)), x).items():
        draws = restored(denoiser, cond, x.shape, steps, seed)
        one, mean, tiles = (errors(y, x, wanted) for y in (draws[0], draws.mean(0), guess))
        hits = int((read(judge, draws[0]) == labels).sum())
        found[name] = {
            "n": len(x),
            "psnr": _db(one), "psnr_of_mean": _db(mean), "psnr_without_network": _db(tiles),
            "error_ratio": _ratio(one, mean, 2 * DRAWS / (DRAWS + 1)),
            "label_accuracy": plain(share(hits, len(x), right)),
        }  # fmt: skip
    return found


def restored(denoiser: NetworkDenoiser, cond: Condition, shape: torch.Size, steps: int, seed: int) -> Tensor:
    """DRAWS independent draws for each given picture, (DRAWS, n, 1, H, W), by `dpm_solver`."""
    out = torch.empty(DRAWS, *shape)
    bar = tqdm(total=DRAWS * shape[0], unit="digit", desc="restoring", disable=None)
    for k in range(DRAWS):
        for i in range(0, shape[0], CHUNK):
            part = slice(i, i + CHUNK)
            image = None if cond.image is None else cond.image[part]
            rng = torch.Generator().manual_seed(1_000_003 * seed + DRAWS * i + k)
            x = torch.randn(out[k, part].shape, generator=rng)
            out[k, part] = last(dpm_solver(Clipped(denoiser), x, denoiser.schedule.times(steps), Condition(image=image)))
            bar.update(len(x))
    bar.close()
    return out


def read(judge: Judge, x: Tensor) -> Tensor:
    """The class the judge sees in each picture, (n,)."""
    return torch.cat([judge(part).argmax(1) for part in x.split(500)])


def errors(y: Tensor, x: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of each picture over its wanted pixels, (n,)."""
    return (((y - x) ** 2) * wanted).sum((1, 2, 3)) / wanted.sum((1, 2, 3))


def _db(error: Tensor) -> dict[str, Any]:
    """PSNR in dB of the mean error, pixels running from -1 to 1: 10 log10(4 / error)."""
    return resampled(lambda i: 10 * np.log10(4 / error[i].mean().item()), len(error))


def _ratio(one: Tensor, mean: Tensor, right: float) -> dict[str, Any]:
    return resampled(lambda i: (one[i].mean() / mean[i].mean()).item(), len(one), right)
