"""JupyterLab of its own, and a real browser that looks at it: what tests/test_lab.py stands on.

Asked for by MINIDIFF_LAB=1 (`make browser-test`); needs the extra `lab-test` and a Chromium. MINIDIFF_LAB_SHOT=FILE.png keeps pictures.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]

# Lab's own promises say when it is ready: what is clicked too early is lost.
READY = """const app = window.jupyterapp; await app.restored;
  const nb = app.shell.currentWidget; await nb.context.ready; await nb.sessionContext.ready;
  const k = nb.sessionContext.session.kernel; await k.info; await k.requestKernelInfo();"""
RUN_ALL = f"""async () => {{ {READY}
  await app.commands.execute('notebook:run-all-cells');
  return nb.content.model.sharedModel.cells.filter(c => c.cell_type === 'code')
    .map(c => [c.execution_count, c.outputs.filter(o => o.output_type === 'error').length]) }}"""
SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # cells out of sight are drawn too
}


@contextlib.contextmanager
def jupyter(command, first, tmp_path):
    """The address of the notebook `first` in a Lab that `command` starts: own settings, own port, no questions, stopped at the end."""
    for name, text in SETTINGS.items():
        path = tmp_path / f"settings/@jupyterlab/{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    own = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "ws", "JUPYTER_CONFIG_DIR": "cfg",
           "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run", "IPYTHONDIR": "ipy"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, **{k: str(tmp_path / v) for k, v in own.items()}, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", *command, "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
               f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/api?token={token}", process, tmp_path / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/{first}?token={token}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(url, process, log):
    """Until somebody answers there, a minute at most."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not come up: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def looking_at(url):
    """A browser with that notebook open."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(url)
        page.locator(".jp-Notebook").first.wait_for(timeout=60_000)
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context", timeout=60_000)
        page.expect = sync_api.expect
        yield page
        browser.close()


def enter(field, text):
    """What a hand does: the text, and the return key."""
    field.fill(text)
    field.press("Enter")


def keep_a_picture(page, name):
    """Where MINIDIFF_LAB_SHOT says, if it says so."""
    if shot := os.environ.get("MINIDIFF_LAB_SHOT"):
        page.wait_for_timeout(500)
        page.screenshot(path=Path(shot).with_stem(f"{Path(shot).stem}_{name}"))
