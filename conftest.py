"""What every `pytest --nbval` run of this repository needs, from whatever folder it is started."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
# A notebook's deprecations are errors in its kernel, where pytest's own filters (pyproject.toml) do not reach. Not with the lowest
# versions: there old libraries warn of each other.
DEPRECATIONS = ",".join(f"error::{kind}" for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"))


def pytest_configure(config: pytest.Config) -> None:
    option = config.option
    if not (getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)):
        return
    if option.nbval_sanitize_with is None:
        option.nbval_sanitize_with = str(ROOT / "notebooks" / "nbval_sanitize.cfg")
    if not option.nbval_kernel_name:
        option.nbval_current_env = True  # this environment's kernel, whatever name the notebook was saved with
    if option.nbval_cell_timeout == 2000:  # nbval's default: half an hour for a cell
        option.nbval_cell_timeout = 300
    # The kernels inherit these: one thread (two fight over a busy machine), small sizes, and the package without an install.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MINIDIFF_PROFILE", "quick")
    if os.environ.get("MINIDIFF_WINDOW") != "lowest-direct":
        os.environ.setdefault("PYTHONWARNINGS", DEPRECATIONS)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    import matplotlib.font_manager  # noqa: F401  builds the font cache here, not inside a compared cell
