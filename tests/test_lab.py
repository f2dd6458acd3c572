"""A notebook in JupyterLab, in a real browser: run it, move its slider, type a caption, paint a map, and see what is drawn change.

Asked for by MINIDIFF_LAB=1 (`make test-lab`); needs the extra `lab-test` and a Chromium. MINIDIFF_LAB_SHOT=FILE.png keeps a picture.
"""

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
EXPLORERS = {"02_forward_process": 1, "08_fast_sampling": 2}  # notebook -> how many explorers it shows
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]

pytestmark = [
    pytest.mark.skipif(os.environ.get("MINIDIFF_LAB") != "1", reason="opens a browser: asked for with MINIDIFF_LAB=1"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
]

# Clicking Run > Run All too early is lost; Lab's own promises say when it is ready and when every cell is done.
RUN_ALL = """async () => {
  const app = window.jupyterapp; await app.restored;
  const nb = app.shell.currentWidget; await nb.context.ready; await nb.sessionContext.ready;
  const k = nb.sessionContext.session.kernel; await k.info; await k.requestKernelInfo();
  await app.commands.execute('notebook:run-all-cells');
  return nb.content.model.sharedModel.cells.filter(c => c.cell_type === 'code')
    .map(c => [c.execution_count, c.outputs.filter(o => o.output_type === 'error').length]) }"""


@pytest.fixture
def lab(tmp_path, request):
    """The address of the notebook in a Lab of its own: own settings, own port, no questions, stopped at the end."""
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(ROOT / "notebooks" / f"{request.param}.ipynb", work)
    news = tmp_path / "settings/@jupyterlab/apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    book = tmp_path / "settings/@jupyterlab/notebook-extension"
    book.mkdir(parents=True)
    (book / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')  # cells out of sight are drawn too
    own = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "ws", "JUPYTER_CONFIG_DIR": "cfg",
           "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run", "IPYTHONDIR": "ipy"}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, **{k: str(tmp_path / v) for k, v in own.items()}, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True",
               "--LabApp.extension_manager=readonly", "--LabApp.news_url=None",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}/api?token={token}", process, tmp_path / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/{request.param}.ipynb?token={token}&reset"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(url, process, log):
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not come up: {log.read_text()[-2000:]}")


@pytest.fixture
def page(lab):
    """The notebook in a browser, every cell run."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(lab)
        page.locator(".jp-Notebook").first.wait_for(timeout=60_000)
        done = page.evaluate(RUN_ALL)
        assert done and all(count and not errors for count, errors in done)
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


@pytest.mark.parametrize("lab", EXPLORERS, indirect=True)
def test_moving_a_slider_redraws_each_figure(page, lab):
    number = lab.split("/")[-1][:2]
    explorers = next(n for name, n in EXPLORERS.items() if name.startswith(number))
    boxes = page.locator(".jp-OutputArea-output .widget-vbox:has(img.widget-image)")
    page.expect(boxes).to_have_count(explorers, timeout=30_000)
    for i in range(explorers):
        move_and_watch(page, boxes.nth(i), page.expect)
        keep_a_picture(page, f"{number}_{i + 1}")


@pytest.mark.parametrize("lab", ["00_map_of_generative_models"], indirect=True)
def test_a_chosen_family_and_data_set_are_shown(page, lab):
    box = page.locator(".jp-OutputArea-output .widget-vbox:has(.widget-dropdown)").last
    data, family = box.locator("select").nth(0), box.locator("select").nth(1)
    figure, text = box.locator("img.widget-image"), box.locator(".widget-html-content pre")
    figure.scroll_into_view_if_needed(timeout=30_000)
    choices = ((family, "autoregressive", "exact"), (data, "mnist14", "bits/dim"), (family, "gan", "a GAN has no density"))
    for field, choice, says in choices:
        before = figure.get_attribute("src")
        field.select_option(choice)
        page.expect(figure).not_to_have_attribute("src", before, timeout=15_000)
        page.expect(text).to_contain_text(says, timeout=15_000)
    keep_a_picture(page, "families")


@pytest.mark.parametrize("lab", ["14_conditioning"], indirect=True)
def test_a_typed_caption_is_drawn_and_what_is_none_is_said_to_be_none(page, lab):
    box = page.locator(".jp-OutputArea-output .widget-vbox:has(.widget-text)").last
    field, figure, text = box.locator("input[type=text]").first, box.locator("img.widget-image"), box.locator(".widget-html-content pre")
    field.scroll_into_view_if_needed(timeout=30_000)
    before = figure.get_attribute("src")
    enter(field, "two red zeros in a row")
    page.expect(figure).not_to_have_attribute("src", before, timeout=60_000)
    page.expect(text).to_contain_text("as was said", timeout=60_000)
    keep_a_picture(page, "caption")
    enter(field, "a zero a zero " * 8)
    page.expect(text).to_contain_text("nothing drawn", timeout=60_000)


@pytest.mark.parametrize("lab", ["15_beyond_the_training_resolution"], indirect=True)
def test_a_pressed_cell_and_a_typed_line_are_painted(page, lab):
    box = page.locator(".jp-OutputArea-output .widget-vbox:has(.widget-dropdown)").last
    figure, text = box.locator("img.widget-image"), box.locator(".widget-html-content pre")
    figure.scroll_into_view_if_needed(timeout=30_000)
    before = figure.get_attribute("src")
    box.locator("button", has_text="clear").click()
    page.expect(figure).not_to_have_attribute("src", before, timeout=60_000)
    page.expect(box.locator("button", has_text="1")).to_have_count(0)  # every cell is blank to the eye, too
    before = figure.get_attribute("src")
    box.get_by_title("row 2, column 4: empty").press("Enter")  # as by hand, without a mouse
    page.expect(figure).not_to_have_attribute("src", before, timeout=60_000)
    page.expect(box.get_by_title("row 2, column 4: red seven")).to_have_text("7")
    page.expect(text).to_contain_text("red", timeout=60_000)
    keep_a_picture(page, "map")
    line = box.locator("input[type=text]")
    enter(line, "31.12.1999")
    page.expect(text).to_contain_text("needs a canvas", timeout=60_000)
    before = figure.get_attribute("src")
    enter(line, "31.12")
    page.expect(figure).not_to_have_attribute("src", before, timeout=60_000)
    page.expect(text).to_contain_text("the judge sees", timeout=60_000)
    keep_a_picture(page, "line")


def move_and_watch(page, box, expect):
    """Ten steps to the right on the first slider of an explorer: its readout and its figure must follow."""
    handle, figure = box.locator(".widget-slider .noUi-handle").first, box.locator("img.widget-image")
    text = box.locator(".widget-html-content pre")
    expect(box.get_by_role("img", name="in its own words")).to_have_count(1)  # what is read aloud in its place
    handle.scroll_into_view_if_needed(timeout=30_000)
    before, said = figure.get_attribute("src"), text.inner_text()
    handle.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(text).not_to_have_text(said, timeout=15_000)
    expect(figure).not_to_have_attribute("src", before, timeout=15_000)
