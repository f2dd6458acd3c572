"""Who competes in time_to_quality.py: each a network with its own way of training, one step at a time.

All draw the same digits by the same function, all are float32, and none pays for a data loader, a logger or accelerate, which the
public scripts have around the same steps. Flips are off: a mirrored digit is not a digit.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import Schedule
from minidiff.learn import NetworkDenoiser
from minidiff.run.batches import batches
from minidiff.run.jobs import Job, prepare
from minidiff.run.recipes import Recipe
from minidiff.run.settings import override

Draw = Callable[[torch.Generator], Tensor]


@dataclass
class Contestant:
    """step(k, total): training step k, from 1, of a run of total steps. denoiser(): the network as it would be sampled from now."""

    step: Callable[[int, int], float]
    denoiser: Callable[[], NetworkDenoiser]
    batch: int


class FromZero(nn.Module):
    """A U-Net of diffusers told the paper's t: diffusers calls the first noise level 0."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_t: Tensor, t: Tensor, vector: None = None, tokens: None = None, image: None = None) -> Tensor:
        return self.network(x_t, t - 1).sample


def minidiff_recipe(recipe: Recipe, source: str) -> Contestant:
    """minidiff, as `minidiff train` does it."""
    return by_minidiff(prepare(recipe, source))


def minidiff_training(recipe: Recipe, source: str) -> Contestant:
    """The U-Net of diffusers, trained as the recipe says: what of the difference is the network's."""
    job = prepare(recipe, source)
    denoiser = replace(job.training.model, network=FromZero(diffusers_unet(recipe.train.seed)))
    return by_minidiff(replace(job, training=replace(job.training, model=denoiser)))


def by_minidiff(job: Job) -> Contestant:
    """A job of minidiff, one step at a time."""
    training, loop, rise = job.training, job.steps(), job.training.warmup

    def step(k: int, total: int) -> float:
        training.steps, training.warmup = total, warm_up(rise, total)
        return next(loop).loss

    return Contestant(step, training.averaged, job.recipe.train.batch)


def diffusers_example(recipe: Recipe, source: str) -> Contestant:
    """The U-Net of diffusers under the defaults of its examples/unconditional_image_generation/train_unconditional.py."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    network, noise = diffusers_unet(recipe.train.seed), DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4)
    draw, rng = digits(recipe, source, 16), torch.Generator().manual_seed(recipe.train.seed)

    def step(k: int, total: int) -> float:
        optimizer.param_groups[0]["lr"] = 1e-4 * cosine(k - 1, warm_up(500, total), total)
        loss = noise_loss(network, noise, draw(rng), rng, 1000)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.step(network.parameters())
        return loss.item()

    def averaged() -> NetworkDenoiser:
        smooth = copy.deepcopy(network)
        average.copy_to(smooth.parameters())
        return told_by(smooth, noise)

    return Contestant(step, averaged, 16)


def diffusers_course(recipe: Recipe, source: str) -> Contestant:
    """The U-Net of diffusers as Hugging Face's course trains it on MNIST (diffusion-models-class, unit 2, without its labels).

    Adam at a constant 1e-3, batches of 128, the cosine schedule, no average of the weights.
    """
    from diffusers import DDPMScheduler

    network = diffusers_unet(recipe.train.seed)
    noise = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    draw, rng = digits(recipe, source, 128), torch.Generator().manual_seed(recipe.train.seed)

    def step(k: int, total: int) -> float:
        loss = noise_loss(network, noise, draw(rng), rng, 999)  # the course draws 0..998
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contestant(step, lambda: told_by(copy.deepcopy(network), noise), 128)


def diffusers_unet(seed: int) -> nn.Module:
    """The U-Net of that course, units 1 and 2, for digits of 28 x 28: no padding is needed.

    Its memory stays contiguous: on the machine of BENCHMARKS.md channels-last makes this one slower.
    """
    from diffusers import UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=28, in_channels=1, out_channels=1, layers_per_block=2, block_out_channels=(32, 64, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )  # fmt: skip


def noise_loss(network: nn.Module, noise: object, x: Tensor, rng: torch.Generator, levels: int) -> Tensor:
    """The mean square error of the predicted noise, in the words of diffusers."""
    eps = torch.randn(x.shape, generator=rng)
    t = torch.randint(0, levels, (len(x),), generator=rng)
    return F.mse_loss(network(noise.add_noise(x, eps, t), t).sample, eps)


def told_by(network: nn.Module, noise: object) -> NetworkDenoiser:
    """A network of diffusers with its schedule as a denoiser of minidiff."""
    return NetworkDenoiser(FromZero(network.eval()), Schedule.from_betas(noise.betas.double().numpy()))


def digits(recipe: Recipe, source: str, n: int) -> Draw:
    """Batches of n digits, drawn as the recipe's are."""
    batch, _ = batches(override(recipe, [f"train.batch={n}"]), source)
    return lambda rng: batch(rng)[0]


def warm_up(steps: int, total: int) -> int:
    """A contestant's own warm-up, but never more than a tenth of the run: the shortest runs have fewer steps than most warm-ups."""
    return min(steps, total // 10)


def cosine(k: int, rise: int, total: int) -> float:
    """diffusers' "cosine": linear from 0 to 1 in `rise` steps, then a half cosine to 0 at `total`; k from 0."""
    return k / rise if k < rise else 0.5 * (1 + math.cos(math.pi * (k - rise) / max(1, total - rise)))


CONTESTANTS: dict[str, Callable[[Recipe, str], Contestant]] = {
    "minidiff": minidiff_recipe,
    "diffusers, its example": diffusers_example,
    "diffusers, its course": diffusers_course,
    "diffusers' network, minidiff's training": minidiff_training,
}
