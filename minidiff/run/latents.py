"""Latents of a whole data set, encoded once and kept: mean and standard deviation of q(z | x), of each picture and of its mirror image.

A batch draws z from q(z | x) anew each time, as the autoencoder's training did; it does not take the mean.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from minidiff.learn.checkpoint import replacing
from minidiff.run.first_stages import FirstStageFile
from minidiff.run.store import Pictures, cache_dir, scale

CHUNK = 250
Halves = NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Latents:
    """moments: float16 (2, N, 2, c, h, w), scaled: as they are and mirrored; N pictures; mean and standard deviation."""

    moments: Halves

    @property
    def channels(self) -> int:
        """c, the channels of a latent."""
        return int(self.moments.shape[3])

    def draw(self, i: Tensor, mirror: Tensor, rng: torch.Generator) -> Tensor:
        """z of the pictures i (B,), mirrored where mirror (B,) is 1, each drawn from its q(z | x): (B, c, h, w)."""
        moments = torch.from_numpy(self.moments[mirror.numpy(), i.numpy()].astype(np.float32))
        mean, std = moments.unbind(1)
        return mean + std * torch.randn(mean.shape, generator=rng)


def latents(first_stage: FirstStageFile, pictures: Pictures) -> Latents:
    """The latents of these pictures, from the cache if they were encoded before, by the same weights: the name holds both checksums.

    They are written chunk by chunk into a file that is mapped into memory, so that 50,000 pictures take no more memory than 250 do. A
    file that is cut short or of another shape is made anew. Checked by tests/test_latent.py.
    """
    shape = (2, len(pictures), 2, *first_stage.shape(pictures))
    path = cache_dir() / "latents" / f"{first_stage.name}-{first_stage.sha256[:16]}-{pictures.checksum[:16]}.npy"
    kept = _mapped(path, shape)
    if kept is None:
        print(f"encoding {len(pictures):,} pictures with {first_stage.name}, kept in {path.parent}", file=sys.stderr)
        with replacing(path) as temporary:
            _encode(first_stage, pictures, temporary, shape)
        kept = _mapped(path, shape)
        assert kept is not None, path
    return Latents(kept)


def _encode(first_stage: FirstStageFile, pictures: Pictures, path: Path, shape: tuple[int, ...]) -> None:
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    bar = tqdm(total=len(pictures), unit="picture", desc="encoding", disable=None)
    for i in range(0, len(pictures), CHUNK):
        x = scale(pictures.images[i : i + CHUNK])
        for mirror, picture in enumerate((x, x.flip(3))):
            q = first_stage.space.encode(picture)
            std: Any = torch.as_tensor(q.var, dtype=q.mean.dtype).sqrt().expand_as(q.mean)
            out[mirror, i : i + CHUNK, 0], out[mirror, i : i + CHUNK, 1] = q.mean.numpy(), std.numpy()
        bar.update(len(x))
    bar.close()
    out.flush()


def _mapped(path: Path, shape: tuple[int, ...]) -> Halves | None:
    try:
        moments: Halves = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return moments if moments.shape == shape and moments.dtype == np.float16 else None
