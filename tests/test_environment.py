"""pyproject.toml, environment.yml and constraints.txt ask for the same packages, the constraints are met here, and each range was tried."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
# PyPI -> conda-forge, where they differ
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "jupyter-server": "jupyter_server"}
MODULE_NAMES = {"PIL": "pillow", "IPython": "ipython", "jupyter_server": "jupyter-server"}  # import -> PyPI, where they differ
HOW = "`make setup` installs the pins, `make pins` writes them anew (CONTRIBUTING.md, \"Versions\")"
PINNED = pytest.mark.skipif("MINIDIFF_WINDOW" in os.environ, reason="the ends of the window are not the pins")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def required():
    """PyPI name -> range, of the package and its test extra."""
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    return {canonicalize_name(r.name): r.specifier for r in map(Requirement, lines)}


def conda(text):
    """(name -> range, pip's lines, channels) of an environment file; a version without an operator means equality."""
    env = yaml.safe_load(text)
    ranges, pip = {}, []
    for line in env["dependencies"]:
        if isinstance(line, dict):
            pip += line["pip"]
            continue
        match = re.fullmatch(r"([a-z0-9][a-z0-9._-]*)\s*([<>=!~0-9.*,\s]*)", line)
        assert match, f"not understood: {line!r}"
        spec = re.sub(r"\s", "", match[2])
        ranges[match[1]] = SpecifierSet(f"=={spec.lstrip('=')}" if re.match(r"=?\d", spec) else spec)
    return ranges, pip, env["channels"]


def pins():
    """name -> version of every line of constraints.txt, which must all be exact."""
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", line) for line in lines)
    assert lines == sorted(lines) and len({line.split("==")[0] for line in lines}) == len(lines)
    return dict(line.split("==") for line in lines)


def python_release(asked):
    """The range asked for, if it is one release that pyproject.toml allows; otherwise what pyproject.toml says.

    Binder (repo2docker) reads Python's release from a line "python =3.11", and takes one that is too old where it finds none."""
    one = re.fullmatch(r"==(\d+\.\d+)", str(asked))
    return asked if one and SpecifierSet(PROJECT["requires-python"]).contains(one[1]) else SpecifierSet(PROJECT["requires-python"])


def disagreements(text):
    """What environment.yml asks for that pyproject.toml does not, or otherwise."""
    ranges, pip, channels = conda(text)
    want = {CONDA_NAMES.get(name, name): spec for name, spec in required().items()}
    want |= {"python": python_release(ranges.get("python")), "pip": SpecifierSet()}
    wrong = {name for name in want.keys() | ranges.keys() if want.get(name) != ranges.get(name)}
    return wrong | ({"pip:"} if pip != ["--editable ."] else set()) | ({"channels"} if channels != ["conda-forge"] else set())


def test_conda_and_pyproject_agree():
    assert disagreements((ROOT / "environment.yml").read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("numpy >=1.26,<3", "numpy >=1.25,<3", {"numpy"}),
        ("  - scipy >=1.11.1\n", "", {"scipy"}),
        ("  - tqdm", "  - extra >=1\n  - tqdm", {"extra"}),
        ("python =3.11", "python =3.10", {"python"}),
        ("python =3.11", "python >=3.10", {"python"}),
        ("conda-forge", "defaults", {"channels"}),
        ("--editable .", "minidiff", {"pip:"}),
    ],
)
def test_a_disagreement_is_found(old, new, named):
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = [line if line.lstrip().startswith("#") else line.replace(old.rstrip("\n"), new.rstrip("\n")) for line in text.splitlines()]
    changed = "\n".join(line for line in lines if line.strip())
    assert disagreements(changed) == named


def test_every_import_is_a_declared_dependency():
    """Not something that merely happens to come along with another package; and each has its reason in CONTRIBUTING.md."""
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    modules = set()
    for path in (ROOT / "minidiff").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    modules -= sys.stdlib_module_names | {"minidiff"}
    assert {MODULE_NAMES.get(m, m) for m in modules} <= declared
    reasons = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    named = {name for row in re.findall(r"^\| ([a-z0-9, -]+) \|", reasons, re.MULTILINE) for name in row.split(", ")}
    assert required().keys() <= named


def test_constraints_lie_within_the_ranges():
    pinned = pins()
    for name, spec in required().items():
        assert name in pinned, f"constraints.txt has no {name}: {HOW}"
        assert spec.contains(pinned[name]), f"constraints.txt: {name}=={pinned[name]} is outside {spec}: {HOW}"
    assert pinned["torch"] == "2.13.0"


def unmet(pinned, installed):
    """A line for each package that minidiff asks for and that is not here in the version that is pinned; builds (+cpu) do not count."""
    return [
        f"{name} {installed(name)} is installed, constraints.txt pins {pinned[name]}: {HOW}"
        for name in sorted(required())
        if Version(installed(name)).public != pinned[name]
    ]


@PINNED
def test_constraints_are_met_here():
    assert not (lines := unmet(pins(), importlib.metadata.version)), "\n".join(lines)


def test_an_unmet_constraint_is_named_with_the_command_that_mends_it():
    (line,) = unmet(pins(), lambda name: "1.0" if name == "numpy" else pins()[name] + "+cpu")
    assert line.startswith("numpy 1.0 is installed") and "make setup" in line and "make pins" in line and len(line.splitlines()) == 1


@PINNED
def test_constraints_name_everything_that_gets_installed():
    """Every dependency of a dependency has its pin too, and the pins together satisfy what the packages ask for."""
    pinned = pins()
    todo = [(name, "") for name in required()]
    seen = set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        assert name in pinned, f"constraints.txt has no {name}: {HOW}"
        for line in importlib.metadata.distribution(name).requires or []:
            r = Requirement(line)
            if r.marker is None or r.marker.evaluate({"extra": extra}):
                version = pinned.get(canonicalize_name(r.name))
                fits = version and r.specifier.contains(version, prereleases=True)
                assert fits, f"{name} asks for {r}; constraints.txt has {version}: {HOW}"
                todo += [(canonicalize_name(r.name), e) for e in ("", *r.extras)]


def window():
    """name -> (lowest, newest) tested, from the table in CONTRIBUTING.md."""
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Versions")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([a-z-]+) \| ([0-9][0-9.]*) \| ([0-9][0-9.]*) \|", table, re.MULTILINE)
    return {name: (Version(low), Version(high)) for name, low, high in rows}


def test_both_ends_of_every_range_were_tried():
    """A lower bound that nobody ran is a promise without ground. Linters are outside: they run in the pinned version only."""
    table = window()
    not_yet = {"ipython", "jupyter-server", "traitlets"}  # CONTRIBUTING.md says so; the next `make test-oldest` empties this
    assert table.keys() == required().keys() - {"ruff", "mypy"} - not_yet
    for name, (low, high) in table.items():
        asked = required()[name]
        (bound,) = (Version(s.version.removesuffix(".*")) for s in asked if s.operator in (">=", "=="))
        assert bound == low, f"{name}: lowest tested {low}, asked for {asked}"
        assert high in asked and high >= Version(pins()[name]), f"{name}: newest tested {high}, asked for {asked}, pinned {pins()[name]}"


def test_pins_are_written_from_what_uv_resolves(tmp_path):
    """With a uv that is a shell script: the comments stay, builds go, lines are in order, uv is told the oldest Python and torch's pin."""
    for file in ("pyproject.toml", "constraints.txt", "tools/pins.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@" > said; cat >> said\nprintf "zipp==9.0\\ntorch==2.13.0+cpu\\nanyio==1.0\\n"\n', encoding="utf-8")
    uv.chmod(0o755)
    run = subprocess.run([sys.executable, tmp_path / "tools/pins.py", uv], capture_output=True, text=True, check=True)
    lines = (tmp_path / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ") and [line for line in lines if line[0] != "#"] == ["anyio==1.0", "torch==2.13.0", "zipp==9.0"]
    assert "zipp: 4" in run.stdout and "numpy: " in run.stdout and "-> gone" in run.stdout and "torch:" not in run.stdout
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert "--python-version 3.11 " in said and said.endswith("uv\ntorch==2.13.0\n")

    uv.write_text("#!/bin/sh\necho no solution >&2; exit 1\n", encoding="utf-8")
    run = subprocess.run([sys.executable, tmp_path / "tools/pins.py", uv], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "as it was" in run.stderr
    assert (tmp_path / "constraints.txt").read_text(encoding="utf-8").splitlines() == lines


def test_version_is_the_same_everywhere():
    import minidiff

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= citation.keys()
    assert Version(minidiff.__version__) == Version(PROJECT["version"]) == Version(citation["version"])
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").startswith("# Changelog")
