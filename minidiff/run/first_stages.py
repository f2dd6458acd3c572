"""Trained autoencoders as files: found by name, opened, and recognised again by those that work in their latent space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minidiff.learn.checkpoint import FileError, fill, fingerprint, read
from minidiff.learn.first_stage import FirstStage
from minidiff.learn.latent import LatentSpace
from minidiff.nn.autoencoder import Autoencoder
from minidiff.run.networks import make_network
from minidiff.run.recipes import Recipe, from_dict
from minidiff.run.store import Pictures, data_dir


@dataclass(frozen=True, eq=False)
class FirstStageFile:
    """An autoencoder with its latent space, the name of its recipe, and the checksum of its weights."""

    name: str
    sha256: str
    space: LatentSpace
    autoencoder: Autoencoder

    def identity(self) -> dict[str, Any]:
        """What a model of its latents keeps, to know it again."""
        return {"name": self.name, "sha256": self.sha256, "scale": self.space.scale}

    def shape(self, pictures: Pictures) -> tuple[int, int, int]:
        """(c, h, w) of the latent of one of these pictures."""
        f = self.autoencoder.factor
        return self.autoencoder.z_channels, pictures.images.shape[1] // f, pictures.images.shape[2] // f


def open_first_stage(path: str | Path) -> FirstStageFile:
    """The autoencoder at path; FileError if the file is damaged or holds something else."""
    tensors, metadata = read(path)
    recipe = from_dict(metadata.get("recipe", {"name": "?", "data": "?"}))
    if recipe.network.type != "autoencoder" or "latent_scale" not in metadata:
        raise FileError(f"{path}: holds no autoencoder with a measured latent scale; `minidiff train cifar-autoencoder-f4` makes one")
    stage = make_network(_plain(recipe))
    assert isinstance(stage, FirstStage)
    fill(stage.autoencoder, tensors, path)
    return FirstStageFile(recipe.name, fingerprint(tensors), LatentSpace(stage.autoencoder, metadata["latent_scale"]), stage.autoencoder)


def _plain(recipe: Recipe) -> Recipe:
    """The recipe without its discriminator, which is not published."""
    return replace(recipe, train=replace(recipe.train, adversarial=0.0))


def first_stage_path(name: str, runs: Path = Path("runs")) -> Path | None:
    """Where the weights of the autoencoder recipe `name` lie: trained here (runs/NAME), otherwise shipped; None if nowhere."""
    places = (runs / name / f"{name}.safetensors", data_dir() / "weights" / f"{name}.safetensors")
    return next((path for path in places if path.is_file()), None)


def load_latent_space(name: str | Path) -> LatentSpace:
    """The latent space of a shipped autoencoder, such as "cifar-autoencoder-f4", or of the .safetensors file at a path."""
    path = Path(name) if str(name).endswith(".safetensors") else first_stage_path(str(name))
    if path is None:
        there = sorted(p.stem for p in (data_dir() / "weights").glob("*autoencoder*.safetensors"))
        raise ValueError(f"no autoencoder named {str(name)!r}; there are {', '.join(there) or 'none'}; `minidiff train {name}` makes it")
    return open_first_stage(path).space


def its_first_stage(metadata: dict[str, Any], runs: Path = Path("runs")) -> FirstStageFile:
    """The very autoencoder in whose latent space these weights were trained, in runs/NAME or shipped, recognised by its checksum.

    FileError if it is missing, or if what is there is another one: latents of one mean nothing to the other's decoder.
    """
    wanted = metadata["first_stage"]
    for path in (runs / wanted["name"] / f"{wanted['name']}.safetensors", data_dir() / "weights" / f"{wanted['name']}.safetensors"):
        if path.is_file() and (found := open_first_stage(path)).sha256 == wanted["sha256"]:
            return found
    raise FileError(
        f"these weights work in the latent space of {wanted['name']} with checksum {wanted['sha256'][:12]}, which is neither in {runs} nor "
        "shipped; put that very file there, or train both again"
    )
