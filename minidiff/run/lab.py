"""`minidiff lab`: JupyterLab on a reader's own folder of the course."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from minidiff.course import workspace

# Lines of code are broken at the edge of a cell, and nobody is asked for news: the course needs no network.
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineWrap": True}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}

QUIET = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--log-level=WARN"]


def start(notebooks: Path, mine: Path, options: Sequence[str] = ()) -> int:
    """Make or complete the folder, and open JupyterLab on its contents, which ends with Ctrl-C; the exit status.

    If a JupyterLab is open on this folder it is shown, and no second one is started. options are JupyterLab's own. ValueError where
    there are no notebooks, and for root, whom JupyterLab refuses unless told. Checked by tests/test_workspace.py and tests/test_lab.py.
    """
    if not notebooks.is_dir():
        raise ValueError("the notebooks are not part of the installed package: clone the repository and run `make lab` there")
    if getattr(os, "geteuid", lambda: 1)() == 0 and "--allow-root" not in options:
        raise ValueError('you are root, as in a container: to open JupyterLab all the same, `make lab OPTIONS="--allow-root --no-browser"`')
    if url := running(mine):
        print(f"JupyterLab is open on {mine} already: {url}")
        webbrowser.open(url)
        return 0
    new = len(workspace.workspace(notebooks, mine))
    what = "; what you wrote there is as it was" if not new else f": {new} notebook{'s are' if new > 1 else ' is'} new there"
    print(f"your course is in {mine}{what}\nopening JupyterLab; Ctrl-C here ends it", flush=True)
    config = mine / ".jupyter"
    (config / "labconfig").mkdir(parents=True, exist_ok=True)
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS, indent=1), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(config), os.environ.get("JUPYTER_CONFIG_PATH")]))
    env = {**os.environ, "MINIDIFF_PROGRESS": str(mine / workspace.PROGRESS), "JUPYTER_CONFIG_PATH": path}
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={mine}", f"--LabApp.default_url=/lab/tree/{workspace.CONTENTS}"]
    return subprocess.call([*command, *QUIET, *options], env=env)


def running(mine: Path) -> str | None:
    """The address of a JupyterLab that is open on this folder; None if there is none."""
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        if Path(server["root_dir"]).resolve() == mine:
            return f"{server['url']}lab/tree/{workspace.CONTENTS}?token={server['token']}"
    return None
