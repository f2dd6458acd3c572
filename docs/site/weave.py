"""Sphinx extension: small changes to the committed Markdown and notebooks on their way into the site. The files stay as they are.

Links to a module's source lead to its API page; equations get anchors, and their functions links; where a live widget would stand
a sentence says so. Everything else, links between notebooks and documents too, works as it is, since files keep their places.
"""

import copy
import json
import re

from docstrings import label, resolve

WIDGET = re.compile(r"\w+\(children=\(")  # how a widget of ipywidgets prints itself
INSTEAD = "*Here the notebook shows a live explorer, with sliders and menus. A page cannot: run the notebook to move them.*"


def modules(text):
    """[process](minidiff/process.py) -> a link to the API page of minidiff.process."""
    return re.sub(r"\]\((minidiff(?:/\w+)+)(?:\.py)?\)", lambda m: f"](api/{m[1].replace('/', '.')}.rst)", text)


def equations(text):
    """An anchor before each "### paper number: title", and a link from each "Function: `name`" to its API page."""
    text = re.sub(r"^### ([^:\n]+): ", lambda m: f"({label(m[1])})=\n{m[0]}", text, flags=re.MULTILINE)
    return re.sub(r"Function: `([\w.]+)`", lambda m: f"Function: {{py:obj}}`{m[1]} <{resolve(m[1])}>`" if resolve(m[1]) else m[0], text)


def is_figure(output):
    """Whether an output of a cell is a picture."""
    return "image/png" in output.get("data", {})


def one_figure_each(cell):
    """The cell, and after it a cell without code for each further figure: MyST-NB takes one alternative text for a whole cell.

    The text is the one that tools/build_notebooks.py wrote into the figure.
    """
    parts = [[]]
    for output in cell["outputs"]:
        if is_figure(output) and any(map(is_figure, parts[-1])):
            parts.append([])
        parts[-1].append(output)
    bare = {"source": ["# the next figure"], "metadata": {"tags": ["remove-input"]}}  # without any code MyST-NB would drop the cell
    rest = [copy.deepcopy({**cell, **bare, "id": f"{cell['id']}-{i}"}) for i in range(1, len(parts))]
    for part, outputs in zip(made := [cell, *rest], parts, strict=True):
        part["outputs"] = outputs
        for figure in filter(is_figure, outputs):
            part["metadata"]["mystnb"] = {"image": {"alt": figure["metadata"]["image/png"]["alt"]}}
    return made


def static(text):
    """A notebook whose widgets are a sentence, and whose figures have the alternative text that their authors gave them."""
    book = json.loads(text)
    for output in (output for cell in book["cells"] for output in cell.get("outputs", [])):
        if WIDGET.match("".join(output.get("data", {}).get("text/plain", ""))):
            output["data"] = {"text/markdown": INSTEAD}
    book["cells"] = [part for cell in book["cells"] for part in (one_figure_each(cell) if cell["cell_type"] == "code" else [cell])]
    return json.dumps(book)


def weave(app, docname, content):
    """source-read: rewrites the text of one document."""
    if docname.startswith("notebooks/"):
        content[0] = static(content[0])
    elif docname == "EQUATIONS":
        content[0] = equations(content[0])
    else:
        content[0] = modules(content[0])


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", weave)
    return {"parallel_read_safe": True}
