"""Sphinx extension: small changes to the committed Markdown and notebooks on their way into the site. The files stay as they are.

Links to a module's source lead to its API page; equations get anchors, and their functions links; where a live widget would stand
a sentence says so. Everything else, links between notebooks and documents too, works as it is, since files keep their places.
"""

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


def alternative(source):
    """What a figure shows, for those who do not see it: the titles that its code gives it."""
    titles = re.findall(r"""title\(?=?"([^"]+)\"""", source)
    return "Figure drawn by the code above" + (f": {'; '.join(titles)}" if titles else "")


def static(text):
    """A notebook whose widgets are a sentence, and whose figures have an alternative text."""
    book = json.loads(text)
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["metadata"]["mystnb"] = {"image": {"alt": alternative("".join(cell["source"]))}}
        for output in cell.get("outputs", []):
            if WIDGET.match("".join(output.get("data", {}).get("text/plain", ""))):
                output["data"] = {"text/markdown": INSTEAD}
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
