"""How much of a picture survives an autoencoder? PSNR, SSIM, features, the spread of the latents, the use of the codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.metrics import frechet_distance
from minidiff.nn.autoencoder import VQAutoencoder
from minidiff.nn.classifier import Judge
from minidiff.run.first_stages import FirstStageFile
from minidiff.run.records import mean_of, plain, sig
from minidiff.run.store import Pictures, scale

CHUNK = 250


def judge_reconstruction(
    first_stage: FirstStageFile, judge: Judge, train: Pictures, test: Pictures, n: int, seed: int = 0
) -> dict[str, Any]:
    """n test pictures drawn at random, each encoded to the mean of q(z | x), decoded and clipped to [-1, 1].

    psnr and ssim: means over pictures. frechet: of the judge's features of reconstructions and of the *same* pictures, its floor other
    real pictures against them. kept_label: how often the judge sees in a reconstruction what it sees in the picture. latent_std: of latents
    drawn from q(z | x), before they are scaled; scaled_std_by_channel: of each channel, after. Checked by tests/test_reconstruction.py.
    """
    n = min(n, len(test), len(train))
    rng = np.random.default_rng(seed)
    x = scale(test.images[rng.permutation(len(test))[:n]])
    real = scale(train.images[rng.permutation(len(train))[:n]])
    again, z = through(first_stage, x, torch.Generator().manual_seed(seed))
    a, b, c = (torch.cat([judge.features(p) for p in y.split(CHUNK)]) for y in (again, x, real))
    said, seen = (torch.cat([judge(p).argmax(1) for p in y.split(CHUNK)]) for y in (again, x))
    kept = (said == seen).double().numpy()
    out: dict[str, Any] = {"n": n}
    out |= {"psnr": mean_of(psnr(again, x).numpy()), "ssim": mean_of(ssim(again, x).numpy()), "kept_label": mean_of(kept)}
    out["frechet"] = plain(frechet_distance(a, b, c, rng))
    out["latent_std"] = sig(z.std().item() / first_stage.space.scale)
    out["scaled_std_by_channel"] = [sig(s) for s in z.transpose(0, 1).flatten(1).std(1).tolist()]
    if isinstance(first_stage.autoencoder, VQAutoencoder):
        out |= code_use(first_stage.autoencoder, x)
    return out


def through(first_stage: FirstStageFile, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures that went through an autoencoder, by the mean of q(z | x), and scaled latents drawn from it."""
    pictures, latents = [], []
    for part in x.split(CHUNK):
        q = first_stage.space.encode(part)
        pictures.append(first_stage.space.decode(q.mean).clamp(-1, 1))
        latents.append(q.sample(torch.randn(q.mean.shape, generator=rng)))
    return torch.cat(pictures), torch.cat(latents)


def psnr(y: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, dB, (B,): 10 log10(4 / mean squared error), pixels running from -1 to 1."""
    return 10 * torch.log10(4 / (y - x).square().flatten(1).mean(1).clamp_min(1e-10))


def ssim(y: Tensor, x: Tensor, size: int = 7) -> Tensor:
    """Structural similarity of each picture, (B,): the mean over windows of size x size pixels and over channels; 1 for equal pictures.

    (2 m_x m_y + c_1)(2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1)(s_x^2 + s_y^2 + c_2)) with the means, variances and covariance (of n - 1) in
    a window, c_1 = (0.01 L)^2, c_2 = (0.03 L)^2, L = 2. Source: Wang et al. 2004, Eq. 13, with a uniform window.
    Checked by tests/test_reconstruction.py (a loop over windows).
    """
    n = size * size
    mean_x, mean_y = F.avg_pool2d(x, size, 1), F.avg_pool2d(y, size, 1)
    share = n / (n - 1)
    pairs = ((x, x, mean_x, mean_x), (y, y, mean_y, mean_y), (x, y, mean_x, mean_y))
    var_x, var_y, cov = (share * (F.avg_pool2d(a * b, size, 1) - m * k) for a, b, m, k in pairs)
    c_1, c_2 = 0.02**2, 0.06**2
    index = (2 * mean_x * mean_y + c_1) * (2 * cov + c_2) / ((mean_x**2 + mean_y**2 + c_1) * (var_x + var_y + c_2))
    return index.flatten(1).mean(1)


def code_use(autoencoder: VQAutoencoder, x: Tensor) -> dict[str, float]:
    """Which codes these pictures take: the share that is taken at all, and the perplexity exp(entropy), at most their number."""
    with torch.no_grad():
        index = torch.cat([autoencoder.codebook.nearest(autoencoder.encode(part).mean).flatten() for part in x.split(CHUNK)])
    p = torch.bincount(index, minlength=len(autoencoder.codebook.codes)).double() / len(index)
    entropy = -(p[p > 0] * p[p > 0].log()).sum().item()
    return {"codes_used": sig(float((p > 0).double().mean())), "perplexity": sig(float(np.exp(entropy)))}
