"""What the README shows is true: its example runs, its links lead somewhere, its commands exist."""

import re
from pathlib import Path

import pytest

from minidiff.course.workspace import title
from minidiff.run import cli
from minidiff.run.recipes import find
from minidiff.run.settings import override

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_prints_sense(capsys):
    code = re.search(r"```python\n(.*?)```", TEXT, re.S).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(code, {})
    right, bound, entropy = map(float, re.findall(r"-?\d+\.\d+", capsys.readouterr().out))
    # 0.7 of the data lie on the right; Monte Carlo errors of the three numbers are about 0.01, 0.03 and 0.02
    assert abs(right - 0.7) < 0.03 and abs(bound - entropy) < 0.15


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "data/README.md", "CHANGELOG.md", "docs/LECTURERS.md"])
def test_links_lead_to_files(page):
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (path.parent / link).exists(), f"{page} links to {link}"


def test_commands_in_the_readme_parse():
    lines = re.findall(r"(minidiff (?:verify|train|sample|evaluate|doctor|data|lab|tour)[^\n`]*?)(?: {3,}|\n|`)", TEXT)
    assert len(lines) >= 6
    for line in lines:
        args = cli.parser(cli.COMMANDS).parse_args(line.split()[1:])
        if hasattr(args, "recipe"):
            override(find(args.recipe), args.settings)


def test_make_targets_in_the_readme_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for name in re.findall(r"`make ([a-z-]+)`", TEXT) + re.findall(r"^make ([a-z-]+)", TEXT, re.M):
        assert name in targets


def test_a_notebook_asks_one_question():
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        assert f"](notebooks/{path.name}) | {title(path)} |" in TEXT
