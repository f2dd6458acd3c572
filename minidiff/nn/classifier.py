"""Small convolutional classifiers, of digits and of photographs: the independent judges of generated ones."""

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


def stage(c_in: int, c_out: int, pool: bool) -> nn.Sequential:
    """A convolution of 3 x 3, batch norm and ReLU; with pool, the map is halved by maxima."""
    layers = [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


class Pair(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(stage(channels, channels, False), stage(channels, channels, False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class PictureClassifier(nn.Module):
    """(B, 3, 32, 32) in [-1, 1] -> logits (B, 10); `features` gives the 8 width numbers before the last layer.

    A residual network of eight convolutions, width doubling as the picture is halved, with a global maximum at its end.
    """

    def __init__(self, width: int = 24, classes: int = 10) -> None:
        super().__init__()
        w = width
        self.stages = nn.ModuleList([
            nn.Sequential(stage(3, w, False), stage(w, 2 * w, True), Pair(2 * w)),
            stage(2 * w, 4 * w, True),
            nn.Sequential(stage(4 * w, 8 * w, True), Pair(8 * w)),
        ])  # fmt: skip
        self.last = nn.Linear(8 * w, classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The feature maps at 16 x 16, 8 x 8 and 4 x 4: what the perceptual loss compares."""
        if x.ndim != 4 or x.shape[1:] != (3, 32, 32):
            raise ValueError(f"the classifier reads (B, 3, 32, 32) in [-1, 1]; got {tuple(x.shape)}")
        out = []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, 32, 32) -> (B, 8 width)."""
        return self.maps(x)[-1].amax((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.features(x))
        return out


Judge = DigitClassifier | PictureClassifier
