"""The other four families of generative models, one file each; the fifth, diffusion, is the rest of the package."""

from minidiff.families.autoregressive import Autoregressive, made
from minidiff.families.flow import Coupling, Flow, Monotone, couplings
from minidiff.families.gan import Gan, minimax, non_saturating, relativistic
from minidiff.families.logistic import EightBit, Logistics
from minidiff.families.vae import Vae

__all__ = [
    "Autoregressive", "Coupling", "EightBit", "Flow", "Gan", "Logistics", "Monotone", "Vae", "couplings", "made", "minimax",
    "non_saturating", "relativistic",
]
