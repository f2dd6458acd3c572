"""`minidiff tour`: verify the equations, train in 2-D and on digits, sample the shipped digits and photographs, write one page.

It takes a few minutes on two cores and needs no network. Everything lands in one folder: index.html with its pictures.
"""

from __future__ import annotations

import html
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from minidiff import Clipped, Guided, ddpm, dpm_solver, last, verify
from minidiff.arrays import normal
from minidiff.learn import TrainStep
from minidiff.notebook import plots
from minidiff.notebook.setup import setup
from minidiff.run import load_classifier, load_latent_space, prepare, pretrained
from minidiff.run.cifar import CLASSES
from minidiff.run.conditions import label
from minidiff.run.jobs import Job
from minidiff.run.recipes import find
from minidiff.run.settings import override
from minidiff.toy import swirl

POINT_STEPS = 3000  # about twenty seconds on one core
DIGIT_STEPS = 400  # about a minute on one core


@dataclass
class Report:
    """The page as it grows: sections of text and pictures, each with the seconds it took."""

    folder: Path
    parts: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def section(self, title: str, text: str, figures: dict[str, Figure] | None = None) -> None:
        """Add a section; figures are saved under their names and closed."""
        seconds, self.started = time.monotonic() - self.started, time.monotonic()
        self.parts.append(f"<h2>{html.escape(title)} <small>({seconds:.0f} s)</small></h2>\n<p>{text}</p>")
        for name, figure in (figures or {}).items():
            figure.savefig(self.folder / f"{name}.png", dpi=110)
            plt.close(figure)
            self.parts.append(f'<img src="{name}.png" alt="{html.escape(title)}">')
        print(f"   done in {seconds:.0f} s", flush=True)

    def write(self) -> Path:
        """Write index.html and return its path."""
        style = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em} img{max-width:100%} "
        style += "pre{font-size:12px;overflow:auto} small{color:#777}"
        page = f"<!doctype html><meta charset=utf-8><title>minidiff: the tour</title><style>{style}</style>\n<h1>minidiff: the tour</h1>\n"
        path = self.folder / "index.html"
        path.write_text(page + "\n".join(self.parts) + "\n", encoding="utf-8")
        return path


def equations(report: Report) -> bool:
    """Section 1: the ledger."""
    print("1/5 verifying every equation numerically", flush=True)
    results = verify.run()
    table = verify.table(results)
    (report.folder / "equations.txt").write_text(table + "\n", encoding="utf-8")
    failed = [r for r in results if not r.passed]
    verdict = "all hold" if not failed else f"<b>{len(failed)} FAILED</b>"
    checks = sum(len(r.checks) for r in results)
    text = f"{len(results)} equations in {checks} checks, each computed by two different routes: {verdict}. Also in equations.txt."
    details = f"<details><summary>The table</summary><pre>{html.escape(table)}</pre></details>"
    report.section("Every equation, checked", text + details)
    return not failed


def plane(report: Report) -> None:
    """Section 2: a diffusion in the plane, trained here, next to the truth."""
    print("2/5 training a diffusion model of points in the plane", flush=True)
    job = prepare(override(find("toy-swirl"), [f"train.steps={POINT_STEPS}"]))
    losses = train(job)
    rng = torch.Generator().manual_seed(1)
    denoiser = job.training.averaged()
    start = torch.randn((2000, 2), generator=rng)
    path = {s.t: s.x_t for s in ddpm(denoiser, start, denoiser.schedule.times(200), normal(rng))}
    shown = {"noise, t = 200": path[200], "t = 60": path[60], "t = 20": path[20], "samples, t = 0": path[0]}
    truth = swirl().sample(2000, np.random.default_rng(2))
    loss = np.mean(losses[-200:])
    text = f"{len(losses)} training steps, final loss per dimension {loss:.3f}. From noise to samples; the data on the right."
    report.section("A diffusion in the plane", text, {"plane": plots.points({**shown, "data": truth}, limit=1.6)})


def digits(report: Report) -> None:
    """Section 3: a DDPM of real digits trained for a minute on the embedded 5,000."""
    print("3/5 training a DDPM on real digits for about a minute", flush=True)
    # Half the width and half the batch: in a minute, many small steps teach more than a few big ones.
    small = ["network.channels=24,48", "train.batch=32", "train.lr=3e-3", "train.warmup=20", "train.ema=0.97"]
    job = prepare(override(find("mnist-ddpm"), [*small, f"train.steps={DIGIT_STEPS}"]), source="embedded")
    losses = train(job)
    x = sample_digits(job.training.averaged(), 32)
    text = (
        f"{DIGIT_STEPS} steps of 32 digits from scratch; loss per pixel {np.mean(losses[:10]):.2f} at first, "
        f"{np.mean(losses[-20:]):.3f} at last. "
        "Ink on black appears within a minute; digits take longer, see below."
    )
    report.section("A DDPM of digits, trained here", text, {"digits_trained_here": plots.images(x, columns=16, scale=0.6)})


def shipped(report: Report) -> None:
    """Section 4: the shipped weights, and what an independent classifier thinks of their samples."""
    print("4/5 sampling the shipped MNIST weights", flush=True)
    x = sample_digits(pretrained("mnist-ddpm"), 64)
    sure = torch.softmax(load_classifier()(x), 1).amax(1)
    text = f"64 samples, 100 steps. A classifier of real digits gives {int((sure > 0.9).sum())} of them a probability above 0.9."
    report.section("The shipped weights", text, {"digits": plots.images(x, columns=16, scale=0.6)})


def photographs(report: Report) -> None:
    """Section 5: latent diffusion of photographs, ten classes, and what an independent classifier thinks of the samples."""
    print("5/5 sampling the shipped latent diffusion model of CIFAR-10", flush=True)
    x, asked = sample_photographs(40)
    right = int((load_classifier("cifar-classifier")(x).argmax(1) == asked).sum())
    text = (
        f"{len(x)} samples in the latent space of an autoencoder with f = 4, 20 steps, guided; from left to right: {', '.join(CLASSES)}. "
        f"A classifier of real photographs sees what was asked for in {right} of them."
    )
    report.section("Photographs, by latent diffusion", text, {"photographs": plots.images(x, columns=10, scale=0.95)})


def train(job: Job) -> list[float]:
    """Run a job to its end under a progress bar; the losses."""
    steps: Any = tqdm(job.steps(), total=job.recipe.train.steps, unit="step", disable=None)
    return [step.loss for step in steps if isinstance(step, TrainStep)]


def sample_digits(denoiser: Any, n: int, steps: int = 100, seed: int = 0) -> torch.Tensor:
    """n digits by strided DDPM, x_0 clipped to the range of pixels."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn((n, 1, 28, 28), generator=rng)
    return torch.as_tensor(last(ddpm(Clipped(denoiser), x, denoiser.schedule.times(steps), normal(rng))))


def sample_photographs(n: int, steps: int = 20, scale: float = 2.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """n photographs of the ten classes in turn, (n, 3, 32, 32), and their labels."""
    space, denoiser = load_latent_space("cifar-autoencoder-f4"), pretrained("cifar-latent-f4")
    labels = torch.arange(n) % 10
    z = torch.randn((n, 4, 8, 8), generator=torch.Generator().manual_seed(seed))
    z = last(dpm_solver(Guided(denoiser, scale), z, denoiser.schedule.times(steps), label(labels)))
    return space.decode(torch.as_tensor(z)).clamp(-1, 1), labels


def main(folder: Path) -> int:
    """The whole tour, into this folder; exit status 1 if an equation failed."""
    folder.mkdir(parents=True, exist_ok=True)
    setup()
    start = time.monotonic()
    report = Report(folder)
    good = equations(report)
    plane(report)
    digits(report)
    shipped(report)
    photographs(report)
    print(f"the tour took {time.monotonic() - start:.0f} s; open {report.write()}")
    return 0 if good else 1
