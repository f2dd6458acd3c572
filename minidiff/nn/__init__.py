"""Networks: plain tensors in and out. They know nothing of diffusion."""

from minidiff.nn.mlp import MLP, count_parameters
from minidiff.nn.unet import UNet

__all__ = ["MLP", "UNet", "count_parameters"]
