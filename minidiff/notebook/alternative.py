"""Alternative text: what a figure says of itself, for those who do not see it. Figures shown in IPython carry it, explorers too.

The committed notebooks have better: a sentence by their authors about what is to be seen, `# %% alt="..."` in the source of a cell,
which tools/build_notebooks.py puts in the place of this one. Both stand where IPython's own images keep it, in the metadata of the
picture. The site and nbconvert's classic template read it there; JupyterLab 4.6 and nbconvert's lab template do not.
Checked by tests/test_figures.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import matplotlib as mpl
import matplotlib.pyplot as plt
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from traitlets import Unicode

START = "Figure, in its own words:"


def of_panel(ax: Axes) -> str:
    """The title of one panel, its axes, and the names of what is drawn in it; "" for a bare picture."""
    axes = " against ".join(filter(None, [ax.get_ylabel(), ax.get_xlabel()]))
    names = ax.get_legend_handles_labels()[1]
    return "; ".join(filter(None, [" ".join(ax.get_title().split()), axes, ", ".join(names)]))


def description(fig: Figure) -> str:
    """What a figure says in words: the title of all, how many bare pictures, and each panel by `of_panel`, in the order it was made."""
    panels = [ax for ax in fig.axes if ax.get_label() != "<colorbar>"]
    bare = sum(bool(ax.images) and not of_panel(ax) for ax in panels)
    said = [fig.get_suptitle(), f"{bare} picture{'s' * (bare > 1)}" if bare else "", *map(of_panel, panels)]
    shared = [text.get_text() for legend in fig.legends for text in legend.get_texts()]
    return " ".join([START, *(f"{text}." for text in [*said, ", ".join(shared)] if text)])


@dataclass(frozen=True)
class WithText:
    """A formatter of IPython around the one that draws: the picture as before, and its `description` in the metadata, as "alt"."""

    draw: Callable[[Figure], Any]

    def __call__(self, fig: Figure) -> Any:
        """(the picture, its metadata), or None where nothing was drawn."""
        made = self.draw(fig)
        data, about = made if isinstance(made, tuple) else (made, {})
        return None if data is None else (data, {**about, "alt": description(fig)})


class Picture(ipw.Image):
    """An image of an explorer; its `tooltip` says what it shows, for a browser names an image without a text by its title.

    The front end of ipywidgets 8 asks whatever has a tooltip for its description, and an Image has none: so it has one here.
    """

    description = Unicode("").tag(sync=True)


def describe_figures() -> None:
    """Let every figure that IPython shows as a PNG carry its description; outside IPython, and where figures are live, nothing."""
    shell = get_ipython()
    if shell is None:
        return
    plt.switch_backend(mpl.get_backend())  # loads it now: it brings the formatter that ours goes around
    formatter = shell.display_formatter.formatters["image/png"]
    draw = formatter.type_printers.get(Figure)
    if draw is not None and not isinstance(draw, WithText):
        formatter.for_type(Figure, WithText(draw))
