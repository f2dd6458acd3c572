"""The wheel works without the repository: code, digits and weights are inside, and the command line runs from it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """run(*arguments of python) in an empty folder, with the unpacked wheel first on the path and the repository nowhere."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    zipfile.ZipFile(wheel).extractall(site)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MINIDIFF_", "PYTHON"))}
    env |= {"PYTHONPATH": str(site), "MINIDIFF_CACHE": str(empty / "cache"), "OMP_NUM_THREADS": "1"}

    def go(*arguments, timeout=300):
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert Path(go("-c", "import minidiff; print(minidiff.__file__)")).is_relative_to(site)
    return go


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {f"minidiff/{p.relative_to(ROOT / 'minidiff').as_posix()}" for p in (ROOT / "minidiff").rglob("*.py")}
    files |= {"minidiff/py.typed"}
    folders = ("mnist-5k", "cifar10-2k", "weights", "measured")
    files |= {f"minidiff/data/{d}/{p.name}" for d in folders for p in (ROOT / "data" / d).iterdir()}
    info = {n for n in names if n.split("/")[0].endswith(".dist-info")}
    assert names - info == files
    assert {"METADATA", "entry_points.txt", "LICENSE"} <= {Path(n).name for n in info}


def test_digits_and_weights_load_from_the_wheel(run):
    code = "from minidiff.run import cifar10, mnist; from minidiff.run.store import data_dir; e = 'embedded'; "
    code += "print(len(mnist('train', e, quiet=True)), len(cifar10('test', e, quiet=True)), data_dir())"
    n, m, folder = run("-c", code).split()
    assert (n, m) == ("4500", "500") and Path(folder).parts[-2:] == ("minidiff", "data") and not Path(folder).is_relative_to(ROOT)
    assert "mnist train: 4500 pictures, embedded" in run("-m", "minidiff.run.cli", "data", "list")


def test_the_command_line_runs_from_the_wheel(run):
    assert "verify" in run("-m", "minidiff.run.cli", "--help")
    run("-m", "minidiff.run.cli", "sample", "mnist-ddpm", "-n", "2", "--steps", "2", "--out", "two.png")


@pytest.mark.slow
def test_the_equations_are_verified_from_the_wheel(run):
    assert "ddpm" in run("-m", "minidiff.run.cli", "verify", "--only", "ddpm").lower()
