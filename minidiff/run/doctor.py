"""Weights before the doctor: the data they were trained on, as far as it is embedded or shipped, and their network as a patient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from minidiff.doctor import Patient, Report, examine
from minidiff.learn import distributed
from minidiff.learn.checkpoint import load, read_metadata
from minidiff.prediction import target
from minidiff.run.batches import batches
from minidiff.run.first_stages import its_first_stage
from minidiff.run.networks import build
from minidiff.run.recipes import from_dict

POINTS, PICTURES = 2000, 32  # how many examples: the second are of a thousand numbers and more each


def examine_file(path: Path, n: int | None = None, seed: int = 0) -> Report:
    """The doctor's report on the denoiser in a file; its condition, if it is told one, is that of its training data.

    n: examples, by default 2,000 points or 32 pictures. Raises ValueError for weights that are no denoiser, and FileError for a file that
    cannot be read. Checked by tests/test_doctor.py.
    """
    metadata = read_metadata(path)
    recipe = from_dict(metadata.get("recipe", {}))
    if recipe.network.type not in ("unet", "mlp"):
        raise ValueError(f"the doctor examines denoisers (unet, mlp); {path.name} holds a {recipe.network.type}")
    pictures = recipe.network.type == "unet"
    many = (PICTURES if pictures else POINTS) if n is None else n
    if many < 16:
        raise ValueError(f"-n must be at least 16, so that there are standard errors; got {many}")
    first_stage = its_first_stage(metadata, path.parent.parent) if recipe.latent else None
    batch, _ = batches(replace(recipe, train=replace(recipe.train, batch=many, drop=0.0)), "embedded", first_stage)
    x_0, cond = batch(torch.Generator().manual_seed(seed))
    denoiser = load(path, build)

    def call(x: Tensor, t: Tensor) -> Tensor:
        rows = torch.arange(len(x)) // max(1, len(x) // many)  # the doctor shows each example several times in a row, or the first ones
        told = None if cond is None else distributed.part(cond, rows, x.device)  # type: ignore[arg-type]
        parts = []
        for i in range(0, len(x), 5000):
            part = slice(i, i + 5000)
            pred = denoiser(x[part], t[part], distributed.part(told, part, x.device))
            parts.append(target(denoiser.kind, pred.x_0, pred.eps, *denoiser.schedule.scales(t[part])))
        return torch.cat(parts)

    bounded = pictures and not recipe.latent
    patient = Patient(call, denoiser.schedule, denoiser.kind, data_range=(-1, 1) if bounded else None, latent=bool(recipe.latent))
    return examine(patient, x_0, seed)
