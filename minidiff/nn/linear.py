"""The best linear autoencoder: principal components, the baseline that every other one must beat."""

from __future__ import annotations

import torch
from torch import Tensor

from minidiff.gaussian import Gaussian


class Principal:
    """x ~ mean + A z with the k directions of greatest variance: of all linear codes of k numbers the one with the least squared error.

    encode(x) is a point mass at z = A^T (x - mean), of shape (B, k, 1, 1): the whole picture is one place, so factor = H. Source: Pearson
    1901; Eckart & Young 1936. Raises ValueError for k outside 1..D. Checked by tests/test_linear.py (singular values; what is left out).
    """

    def __init__(self, mean: Tensor, axes: Tensor, shape: tuple[int, ...]) -> None:
        self.mean, self.axes, self.shape, self.factor, self.z_channels = mean, axes, shape, shape[-1], axes.shape[1]

    @classmethod
    def fit(cls, x: Tensor, k: int) -> Principal:
        """The k leading directions of pictures x (N, C, H, W): eigenvectors of their covariance, computed in float64."""
        flat = x.flatten(1).double()
        if not 1 <= k <= flat.shape[1]:
            raise ValueError(f"k must be an int in 1..{flat.shape[1]}, the number of pixels; got {k}")
        mean = flat.mean(0)
        centred = flat - mean
        _, axes = torch.linalg.eigh(centred.T @ centred)  # rising eigenvalues
        return cls(mean.to(x.dtype), axes[:, -k:].flip(1).to(x.dtype), tuple(x.shape[1:]))

    def first(self, k: int) -> Principal:
        """The same with its first k directions only."""
        return Principal(self.mean, self.axes[:, :k], self.shape)

    def encode(self, x: Tensor) -> Gaussian:
        """The coordinates along the directions."""
        return Gaussian(((x.flatten(1) - self.mean) @ self.axes)[:, :, None, None], 0.0)

    def decode(self, z: Tensor) -> Tensor:
        """mean + A z as a picture."""
        return (self.mean + z.flatten(1) @ self.axes.T).reshape(-1, *self.shape)
