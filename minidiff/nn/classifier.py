"""A small convolutional classifier of digits: the independent judge of generated ones."""

from __future__ import annotations

from torch import Tensor, nn


class DigitClassifier(nn.Module):
    """(B, 1, 28, 28) in [-1, 1] -> logits (B, 10); `features` gives the 128 numbers before the last layer.

    Two stages of two convolutions each, halving the picture, then two linear layers.
    """

    def __init__(self, width: int = 24, classes: int = 10) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            nn.Conv2d(1, w, 3, padding=1), nn.BatchNorm2d(w), nn.ReLU(),
            nn.Conv2d(w, w, 3, padding=1, stride=2), nn.BatchNorm2d(w), nn.ReLU(),
            nn.Conv2d(w, 2 * w, 3, padding=1), nn.BatchNorm2d(2 * w), nn.ReLU(),
            nn.Conv2d(2 * w, 2 * w, 3, padding=1, stride=2), nn.BatchNorm2d(2 * w), nn.ReLU(),
            nn.Flatten(), nn.Linear(2 * w * 49, 128), nn.ReLU(),
        )  # fmt: skip
        self.last = nn.Linear(128, classes)

    def features(self, x: Tensor) -> Tensor:
        """(B, 1, 28, 28) -> (B, 128)."""
        if x.ndim != 4 or x.shape[1:] != (1, 28, 28):
            raise ValueError(f"the classifier reads (B, 1, 28, 28) in [-1, 1]; got {tuple(x.shape)}")
        out: Tensor = self.body(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.features(x))
        return out
