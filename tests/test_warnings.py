"""A warning fails the test or the notebook that met it, when it is of our code; shown by planting some."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
HERE = pytest.mark.skipif(os.environ.get("MINIDIFF_WINDOW") == "lowest-direct", reason="old libraries warn of each other there")
PLANTED = """
import warnings

import pytest

def warn(kind, module):
    warnings.warn_explicit("old", kind, "file.py", 1, module=module, registry={})

@pytest.mark.parametrize("kind", [UserWarning, RuntimeWarning, FutureWarning, DeprecationWarning, PendingDeprecationWarning])
@pytest.mark.parametrize("module", ["minidiff", "minidiff.schedule", "minidiff.nn.text", "test_something"])
def test_ours(kind, module):
    with pytest.raises(kind, match="old"):
        warn(kind, module)
"""


def run(*arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@HERE
def test_a_warning_of_ours_is_an_error_in_a_test(tmp_path):
    planted = tmp_path / "test_planted.py"
    planted.write_text(PLANTED, encoding="utf-8")
    assert "20 passed" in run(planted).stdout, "the filters in pyproject.toml let a warning of our own through"


@HERE
@pytest.mark.parametrize("kind", ["DeprecationWarning", "FutureWarning"])
def test_a_deprecation_is_an_error_in_a_notebook(tmp_path, kind):
    """Not in __main__, where IPython shows it, but in a module, where Python is silent about it."""
    code = f"import warnings\nwarnings.warn_explicit('old', {kind}, 'file.py', 1, module='minidiff.schedule')"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=kernel)
    nbformat.write(book, tmp_path / "planted.ipynb")
    told = run("-p", "conftest", "--nbval-lax", tmp_path / "planted.ipynb")
    assert told.returncode == 1 and f"{kind}: old" in told.stdout.replace("\x1b[39m", ""), told.stdout + told.stderr
