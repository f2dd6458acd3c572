"""One picture of all that the shipped weights can be told: captions, maps, coarse pictures, layouts, and changes by a caption.

    python benchmarks/conditions.py

Measures nothing, writes docs/conditions.png. Seeds are 0 and the first scenes and pictures are taken: nothing is picked out.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from minidiff import Guided
from minidiff.learn import Condition, NetworkDenoiser
from minidiff.notebook.scene_widgets import painted
from minidiff.run import cifar10, load_latent_space, load_space, pretrained, scale
from minidiff.run.captions import COLOURS
from minidiff.run.class_captions import photo_captions
from minidiff.run.conditions import low_resolution
from minidiff.run.evaluate import Plan
from minidiff.run.photo_evaluation import canvas_layout
from minidiff.run.scene_conditions import captions, coarse_of, maps, pictures
from minidiff.run.scene_editing import edited, filled_in
from minidiff.run.scene_evaluation import held_out
from minidiff.run.space import Space
from minidiff.run.writing import written
from minidiff.sample import dpm_solver, last

SCALE = 4.0
ASKED = (
    "a red seven above a blue two", "three green fours in a row", "a white zero left of a purple one", "a square of four yellow eights",
    "two blue nines in a column", "a five in red", "a green three under a yellow six", "a row of two white fives",
)  # fmt: skip
PHOTOS = (
    "a photo of a pony", "a ship", "this is a lorry", "a picture of a plane",
    "a frog in a photo", "a small photo of a car", "a puppy", "a stag",
)  # fmt: skip

Strip = tuple[str, list[tuple[str, Tensor]]]  # a title, and pictures (3, H, W) with what stands over them


def strips() -> list[Strip]:
    """Everything, one strip a condition."""
    text, space = pretrained("scenes-text"), load_space("scenes-text")
    told = [("\n".join(wrapped(c)), x) for c, x in zip(ASKED, painted(text, space, captions(ASKED), (32, 32), SCALE), strict=True)]
    scene = next(s for s in held_out(50, "text") if s.said and s.said.form == "above")
    return [(f"scenes-text, guidance {SCALE:g}", told), *changes(text, space, scene.caption, pictures([scene])), *larger(), *photographs()]


def changes(text: NetworkDenoiser, space: Space, caption: str, x: Tensor) -> list[Strip]:
    """A scene under a new caption at three strengths; its lower half filled in."""
    plan, colour = Plan(n=20, steps=20, scale=SCALE), next(word for word in caption.split() if word in COLOURS)
    new = caption.replace(colour, "green" if colour != "green" else "red", 1)
    known = torch.zeros(x.shape, dtype=torch.bool)
    known[:, :, :16] = True
    out = [("the scene", x[0]), *[(f"strength {s:g}", edited(text, space, x, captions([new]), s, plan)[0]) for s in (0.4, 0.6, 0.8)]]
    out += [("upper half", torch.where(known, x, -torch.ones_like(x))[0])]
    out += [(name, filled_in(text, space, x, known, captions([c]), plan)[0]) for name, c in (("filled in", caption), ("without words", ""))]
    return [(f"image-to-image, told: {new}; and inpainting, told: {caption}", out)]


def larger() -> list[Strip]:
    """The date and a coarse scene, on canvases larger than any of training."""
    labels, tint = written("27.11.2026", (32, 160), "yellow")
    date = painted(pretrained("scenes-map"), load_space("scenes-map"), maps(labels[None], tint[None]), (32, 160), SCALE)
    scene = pictures(held_out(1, "crowd", size=(64, 128)))
    sharp = painted(pretrained("scenes-superres"), load_space("scenes-superres"), coarse_of(scene), (64, 128))
    row = [("told 16 x 32", low_resolution(scene)[0]), ("scenes-superres", sharp[0]), ("the real scene", scene[0])]
    return [("scenes-map, trained on 32 x 32", [("", date[0])]), ("super-resolution", row)]


def photographs() -> list[Strip]:
    """CIFAR-10 by captions, and by layouts at three sizes."""
    space, text, layouts = load_latent_space("cifar-autoencoder-f4"), pretrained("cifar-text"), pretrained("cifar-layout")
    z = torch.randn((8, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    made = space.decode(last(dpm_solver(Guided(text, 3.0), z, text.schedule.times(20), photo_captions(PHOTOS)))).clamp(-1, 1)
    strip: list[tuple[str, Tensor]] = []
    x = scale(cifar10("test", quiet=True).images[1:3])
    for i in (0, 1):
        strip.append(("sheet of colours", canvas_layout(x[i : i + 1], 1)[0]))
        for times in (1, 2, 3):
            z = torch.randn((1, 4, 8 * times, 8 * times), generator=torch.Generator().manual_seed(0))
            drawn = last(dpm_solver(layouts, z, layouts.schedule.times(20), Condition(image=canvas_layout(x[i : i + 1], times))))
            strip.append((f"{32 * times} x {32 * times}", space.decode(drawn)[0].clamp(-1, 1)))
    return [("cifar-text, guidance 3", [("\n".join(wrapped(c)), p) for c, p in zip(PHOTOS, made, strict=True)]), ("cifar-layout", strip)]


def wrapped(text: str, wide: int = 17) -> list[str]:
    """A caption in lines of about this many letters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > wide:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def figure(rows: list[Strip], path: Path) -> None:
    """One row a strip, all pictures of a row of one height."""
    fig = Figure(figsize=(11, 1.75 * len(rows)), layout="constrained")
    for part, (title, strip) in zip(np.atleast_1d(fig.subfigures(len(rows), 1)), rows, strict=True):
        part.suptitle(title, fontsize=9, x=0.01, ha="left", weight="bold")
        widths = [x.shape[2] / x.shape[1] for _, x in strip]
        for axes, (name, x) in zip(np.atleast_1d(part.subplots(1, len(strip), width_ratios=widths)), strip, strict=True):
            axes.imshow((x.permute(1, 2, 0).numpy() + 1) / 2, interpolation="nearest")
            axes.set_title(name, fontsize=7)
            axes.axis("off")
    fig.savefig(path, dpi=120)


if __name__ == "__main__":
    torch.set_num_threads(1)
    figure(strips(), Path(__file__).resolve().parents[1] / "docs" / "conditions.png")
