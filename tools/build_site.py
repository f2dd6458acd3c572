"""Build the static site of the course into build/site: `make site`. Needs the extra `docs`; asks no network for anything.

The committed files are laid out in build/site-source at their own places, so that every relative link between them holds; the pages
of the site's own (docs/site) join them at the root. Then Sphinx reads that folder, with the settings of docs/site/conf.py.
"""

import argparse
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs/site"
FILES = [
    "README.md", "EQUATIONS.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "data/README.md", "benchmarks/BENCHMARKS.md",
    "docs/LECTURERS.md", "docs/DOCTOR.md",
]  # fmt: skip
# Of MathJax's 24 MB only these are asked for by a page: the program, its fonts, TeX's further commands, and what reads formulas aloud.
MATHJAX = ["tex-chtml.js", "output/chtml", "input/tex/extensions", "a11y", "sre"]


def sources():
    """Where each file of the site comes from: its place in the site's sources -> the committed file."""
    here = {name: ROOT / name for name in FILES}
    here |= {p.relative_to(ROOT).as_posix(): p for p in [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("docs/*.png")]}
    return here | {p.name: p for p in SITE.glob("*.md")}


def lay_out(source):
    """Copy what is new or changed, so that a second build is short; drop what is no longer there."""
    wanted = sources()
    for name, path in wanted.items():
        target = source / name
        if not target.exists() or target.read_bytes() != path.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for old in [*source.rglob("*.md"), *source.rglob("*.ipynb")]:
        if old.relative_to(source).as_posix() not in wanted:
            old.unlink()


def add_mathjax(out):
    """MathJax's files beside the pages. The package that carries them has hyphens in its name: a folder rather than something to import."""
    spec = find_spec("sphinx-mathjax-offline")
    for name in MATHJAX:
        here, target = Path(spec.origin).parent / "static/mathjax" / name, out / "_static/mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(here, target)


def build(out):
    """The site in the folder out, its sources and Sphinx's notes beside it; Sphinx's exit status, for which warnings are errors."""
    if missing := [name for name in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline") if find_spec(name) is None]:
        raise SystemExit(f"the site needs the extra `docs` (pip install -e '.[docs]', or make site); not found: {', '.join(missing)}")
    from sphinx.cmd.build import main

    source, notes = out.with_name(out.name + "-source"), out.with_name(out.name + "-doctrees")
    lay_out(source)
    status = main(["-W", "--keep-going", "-q", "-b", "html", "-c", str(SITE), "-d", str(notes), str(source), str(out)])
    add_mathjax(out)
    return status


def command():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/site", help="folder of the site (build/site)")
    args = parser.parse_args()
    start = time.monotonic()
    status = build(args.out.resolve())
    if status == 0:
        pages, size = len(list(args.out.rglob("*.html"))), sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file())
        print(f"{args.out / 'index.html'}: {pages} pages, {size / 1e6:.0f} MB, {time.monotonic() - start:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(command())
