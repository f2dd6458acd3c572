"""Sphinx settings of the course's site. `make site` builds it: tools/build_site.py lays the sources out and calls Sphinx."""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]  # minidiff for autodoc; the two extensions beside this file
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# The one setting that belongs to whoever hosts the course. It is read from pyproject.toml:
#   [project.urls]
#   Repository = "the https address of the repository on its host"
# With it every notebook page gets buttons for Colab and Binder; without it there are none, since a made-up address helps nobody.
REPOSITORY = PROJECT.get("urls", {}).get("Repository", "")
BRANCH = "main"

project, author, release = "minidiff", PROJECT["authors"][0]["name"], PROJECT["version"]
copyright = f"{author}, MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "docstrings", "weave"]
root_doc = "index"
templates_path = [str(HERE / "_templates")]
suppress_warnings = ["config.cache"]  # extensions hand functions about; nothing is pickled that matters

# Markdown and notebooks: as committed, never executed (nbval compares their outputs elsewhere).
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # formulas in what cells print, such as `show("ddpm", "7")`

# API pages: one page a module, what it defines itself, without what it imports.
autosummary_generate = True
autodoc_default_options = {"members": True, "ignore-module-all": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True  # `decoder=decoder_term`, not the address of a function
python_maximum_signature_line_length = 120
add_module_names = False

# Nothing is asked of another host when the site is read: MathJax and its fonts lie in _static, widgets load no scripts.
mathjax_path = "mathjax/tex-chtml.js"  # put there by tools/build_site.py
nb_ipywidgets_js = {}

html_theme, html_title = "sphinx_book_theme", "minidiff"
html_static_path = [str(HERE / "_static")]
html_css_files = ["site.css"]
html_show_sourcelink = False  # the download button has it: on a notebook page, the .ipynb
html_last_updated_fmt = None
html_theme_options = {"show_toc_level": 2, "use_download_button": True, "use_fullscreen_button": False, "navbar_persistent": []}


def launch_options(repository: str) -> dict:
    """Theme options for the buttons of Colab and Binder (and the link to the source); none without a repository."""
    if not repository:
        return {}
    hosts = {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com", "notebook_interface": "jupyterlab"}
    return {"repository_url": repository, "repository_branch": BRANCH, "use_repository_button": True, "launch_buttons": hosts}


html_theme_options |= launch_options(REPOSITORY)
