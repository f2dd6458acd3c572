"""Alternative text: of every committed figure its author says what is to be seen; a figure just drawn says of itself what it can."""

import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from minidiff.notebook import plots, widgets
from minidiff.notebook.alternative import START, WithText, description

ROOT = Path(__file__).resolve().parents[1]
SHORTEST, LONGEST = 80, 300  # characters: a sentence or two, not a title and not a page
SOURCE = """# %%
from minidiff.notebook import plots, setup

rng = setup(seed=0)

# %%{alt}
import matplotlib.pyplot as plt
import numpy as np

fig, axes = plots.panel(2)
plots.curves(axes[0], [1, 2], {{"a line": [1, 2], "another": [2, 1]}}, "t", "nats", "two lines")
image = axes[1].imshow(np.eye(3))
fig.colorbar(image)
plt.show()
"""


def texts(book):
    """(where, what the author says in the cell, what the figures carry) of each cell with figures or with sentences about them."""
    for i, cell in enumerate(book.cells):
        said = cell.metadata.get("alt", [])
        carried = [o.metadata.get("image/png", {}).get("alt", "") for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if said or carried:
            yield i, [said] if isinstance(said, str) else list(said), carried


def complaints(books):
    """What is wrong with the texts of the figures of these notebooks, a line each: name -> notebook."""
    wrong, seen = [], {}
    for name, book in books.items():
        for i, said, carried in texts(book):
            where = f"{name}, cell {i}"
            if len(said) != len(carried):
                wrong.append(f"{where}: {len(carried)} figures, {len(said)} sentences in its alt=...")
            elif said != carried:
                wrong.append(f"{where}: its figures carry another text than its source has; run `make notebooks`")
            for text in carried:
                if text.startswith(START):
                    wrong.append(f"{where}: the automatic text, no sentence of an author's")
                elif not SHORTEST <= len(text) <= LONGEST:
                    wrong.append(f"{where}: {len(text)} characters; {SHORTEST} to {LONGEST} are wanted")
                if seen.setdefault(text, where) != where or carried.count(text) > 1:
                    wrong.append(f"{where}: says what {seen[text]} says")
                if "\N{EM DASH}" in text or "$" in text or "\\" in text:
                    wrong.append(f"{where}: a dash or LaTeX, which is not read well aloud")
    return wrong


@pytest.fixture(scope="module")
def books():
    return {path.stem: nbformat.read(path, 4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def test_every_committed_figure_says_what_is_to_be_seen(books):
    assert complaints(books) == []
    assert sum(len(carried) for book in books.values() for _, _, carried in texts(book)) >= 108


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda cell: cell.metadata.pop("alt"), "1 figures, 0 sentences"),
        (lambda cell: cell.metadata.update(alt=["a", "b"]), "1 figures, 2 sentences"),
        (lambda cell: cell.metadata.update(alt="Another sentence than that of the figure, and a longer one " * 2), "another text"),
        (lambda cell: say(cell, f"{START} 3 pictures."), "the automatic text"),
        (lambda cell: say(cell, ""), "0 characters"),
        (lambda cell: say(cell, "A plot of the loss."), "19 characters"),
        (lambda cell: say(cell, "word " * 61), "305 characters"),
        (lambda cell: say(cell, "The curve falls \N{EM DASH} fast at first, then slowly. " * 2), "a dash"),
        (lambda cell: say(cell, r"The curve of $\bar\alpha_t$ falls from one to zero. " * 2), "LaTeX"),
    ],
)
def test_a_missing_or_empty_text_is_noticed(books, change, complaint):
    one = nbformat.from_dict({**books["01_gaussians_and_kl"]})
    broken = nbformat.reads(nbformat.writes(one), 4)
    change(broken.cells[next(i for i, _, _ in texts(broken))])
    assert any(complaint in line for line in complaints({"broken": broken}))


def say(cell, text):
    """Source and figure of a cell say `text`."""
    cell.metadata["alt"] = text
    next(o for o in cell.outputs if "image/png" in o.get("data", {})).metadata["image/png"] = {"alt": text}


def test_a_repeated_text_is_noticed(books):
    book = books["01_gaussians_and_kl"]
    assert any("says what first, cell" in line for line in complaints({"first": book, "second": book}))


# What a figure says of itself


def test_a_figure_names_its_titles_axes_curves_and_pictures():
    fig, (left, right, _) = plots.panel(3)
    plots.curves(left, [1, 2], {"a line": [1, 2], "another": [2, 1]}, "t", "nats", "two\nlines")
    fig.colorbar(right.imshow(np.eye(3)))
    fig.suptitle("all of it")
    assert description(fig) == f"{START} all of it. 1 picture. two lines; nats against t; a line, another."
    plt.close(fig)
    fig = plots.images(np.zeros((6, 3, 3)), columns=3)
    assert description(fig) == f"{START} 6 pictures."
    fig.axes[0].plot([0, 1], label="a curve")
    fig.legend(*fig.axes[0].get_legend_handles_labels())
    fig.axes[0].set_title("one")
    assert description(fig) == f"{START} 5 pictures. one; a curve. a curve."
    plt.close(fig)


def test_a_formatter_keeps_what_it_got_and_adds_the_text():
    fig, ax = plots.panel()
    ax.set_title("a title")
    alt = {"alt": f"{START} a title."}
    assert WithText(lambda fig: "bytes")(fig) == ("bytes", alt)
    assert WithText(lambda fig: ("bytes", {"width": 3}))(fig) == ("bytes", {"width": 3} | alt)
    assert WithText(lambda fig: None)(fig) is None
    plt.close(fig)


@pytest.mark.parametrize("name", widgets.EXPLORERS)
def test_the_picture_of_an_explorer_has_a_text_that_follows_it(name):
    made = widgets.EXPLORERS[name]()
    figure = made._update(**made.values())
    assert made.image.tooltip == description(figure) and len(made.image.tooltip) > len(START) + 10
    made.image.tooltip = ""
    control = next(iter(vars(made.controls).values()))
    control.value = control.max if hasattr(control, "max") else control.options[-1]
    assert made.image.tooltip.startswith(START) and made.image.description == ""


# From the source to the notebook


def build(folder, alt, *arguments):
    """tools/build_notebooks.py on a notebook of one figure; the run, and the metadata of the figure."""
    source = folder / "src" / "00_probe.py"
    source.parent.mkdir(exist_ok=True)
    source.write_text(SOURCE.format(alt=alt), "utf-8")
    command = [sys.executable, ROOT / "tools/build_notebooks.py", "--source", source.parent, "--out", folder, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    book = nbformat.read(folder / "00_probe.ipynb", 4)
    nbformat.validate(book)
    (figure,) = [o for o in book.cells[1].outputs if "image/png" in o.get("data", {})]
    return run, figure.metadata.get("image/png")


def test_a_sentence_goes_from_the_source_into_the_figure_without_a_run(tmp_path):
    run, about = build(tmp_path, "")
    assert run.returncode == 0 and about == {"alt": f"{START} 1 picture. two lines; nats against t; a line, another."}, run.stderr
    drawn = nbformat.read(tmp_path / "00_probe.ipynb", 4).cells[1].outputs[0].data

    sentence = ' alt="One line rises, the other falls, and \\"both\\" meet in the middle."'
    run, _ = build(tmp_path, sentence, "--check")
    assert run.returncode == 1 and "out of date" in run.stderr
    run, about = build(tmp_path, sentence)
    assert run.returncode == 0 and "without a run" in run.stdout
    assert about == {"alt": 'One line rises, the other falls, and "both" meet in the middle.'}
    book = nbformat.read(tmp_path / "00_probe.ipynb", 4)
    assert book.cells[1].outputs[0].data == drawn and book.cells[1].metadata.alt == about["alt"]
    run, _ = build(tmp_path, sentence, "--check")
    assert run.returncode == 0

    run, _ = build(tmp_path, sentence + "\n1 + 1\n\n# %%", "--check")
    assert run.returncode == 1 and "out of date" in run.stderr  # other code
    run, _ = build(tmp_path, sentence, "--check")
    assert run.returncode == 0
    run, _ = build(tmp_path, ' alt="A list of one." tags=["nbval-ignore-output"]', "--check")
    assert run.returncode == 1  # a tag is more than a sentence
