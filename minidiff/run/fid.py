"""The Frechet Inception distance proper, by an optional package: for comparison with published numbers, where there is a network."""

from __future__ import annotations

import importlib
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor
from torch.utils.data import Dataset


class FidError(ValueError):
    """FID cannot be measured here, with one line that says why and what to do."""


class AsBytes(Dataset[Tensor]):
    """(n, 1 or 3, H, W) in [-1, 1] as Inception's reader wants them: uint8 (3, H, W), a grey value three times."""

    def __init__(self, x: Tensor) -> None:
        self.x = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Tensor:
        return self.x[i].expand(3, -1, -1)


def find_fidelity() -> Any:
    """The package torch-fidelity; FidError that says how to install it."""
    try:
        return importlib.import_module("torch_fidelity")  # an extra, so nothing here may need it to be imported
    except ImportError as e:
        raise FidError(f"--fid needs torch-fidelity ({e}): pip install 'minidiff[fid]'") from e


def inception_fid(x: Tensor, y: Tensor) -> float:
    """FID of x and y (n, 1, H, W) in [-1, 1] by torch-fidelity: 2048 Inception features, so read it against its floor at small n.

    **Downloads** Inception's weights (about 90 MB, from github.com) into torch's cache at the first call. Source: Heusel et al. 2017.
    Raises FidError without the package, and where the weights cannot be had. Checked by tests/test_evaluate.py with a stand-in.
    """
    fidelity = find_fidelity()
    try:
        both = {"input1": AsBytes(x), "input2": AsBytes(y)}
        found = fidelity.calculate_metrics(**both, fid=True, cuda=False, verbose=False, save_cpu_ram=True)
    except (URLError, OSError) as e:
        raise FidError(f"--fid could not get Inception's weights ({e}): connect to the network once, or leave --fid out") from e
    return float(found["frechet_inception_distance"])
