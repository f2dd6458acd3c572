"""Notebooks in JupyterLab, in a real browser: what a reader does, from the contents to a passed exercise; sliders, captions, maps.

Asked for by MINIDIFF_LAB=1 (`make browser-test`); tests/browser.py says what it needs.
"""

import os
import shutil
import time

import pytest
from browser import CHROMIUM, READY, ROOT, RUN_ALL, enter, jupyter, keep_a_picture, looking_at

from minidiff.run.lab import QUIET

EXPLORERS = {  # notebook -> how many explorers it shows
    "02_forward_process": 1, "03_posterior": 1, "04_variational_bound": 1, "08_fast_sampling": 2, "12_latent_space": 1,
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(os.environ.get("MINIDIFF_LAB") != "1", reason="opens a browser: asked for with MINIDIFF_LAB=1"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
]


@pytest.fixture
def page(tmp_path, request):
    """The notebook that the test names, in a browser, every cell run."""
    name = f"{request.getfixturevalue('lab')}.ipynb"
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(ROOT / "notebooks" / name, work)
    with jupyter(["jupyterlab", f"--ServerApp.root_dir={work}", *QUIET], name, tmp_path) as url, looking_at(url) as page:
        done = page.evaluate(RUN_ALL)
        assert done and all(count and not errors for count, errors in done)
        yield page


WRONG = """def kl_diagonal(m_p, v_p, m_q, v_q):
    return (0.5 * (v_p / v_q - 1 - np.log(v_p / v_q)) + (m_p - m_q) ** 2 / (2 * v_q)).mean(-1)"""
RIGHT = WRONG.replace("mean(-1)", "sum(-1)")


def test_a_reader_gets_from_the_contents_to_a_passed_exercise(tmp_path):
    command = ["minidiff.run.cli", "lab", "--folder", str(tmp_path / "mine"), "--"]
    with jupyter(command, "contents.ipynb", tmp_path) as url, looking_at(url) as page:
        page.evaluate(f"async () => {{ {READY} }}")
        page.get_by_role("link", name="three facts about Gaussians").click()
        page.locator("h1", has_text="Gaussians").wait_for(timeout=60_000)
        page.evaluate(RUN_ALL)  # with no answers: it must reach its end
        book = page.locator(".jp-NotebookPanel:visible")
        cells = book.locator(".jp-CodeCell")
        answer, checked = (cells.filter(has_text=text).first for text in ("def kl_diagonal", 'check("KL of a batch"'))
        page.expect(checked.locator(".jp-OutputArea-output")).to_contain_text("no answer yet")
        for written, said in ((WRONG, "yours is the mean over dimensions"), (RIGHT, "right")):
            answer.locator(".cm-content").click()
            page.keyboard.press("Control+A")
            page.keyboard.insert_text(written)
            page.keyboard.press("Shift+Enter")  # runs it, and goes to the cell of the check
            page.keyboard.press("Shift+Enter")
            page.expect(checked.locator(".jp-OutputArea-output").first).to_contain_text(said, timeout=15_000)
            checked.scroll_into_view_if_needed()
            keep_a_picture(page, f"exercise_{said.split()[0]}")
        page.get_by_role("tab", name="contents.ipynb").click()
        cell = page.locator(".jp-NotebookPanel:visible .jp-CodeCell").first
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.expect(cell.locator(".jp-OutputArea-output")).to_contain_text("01  1 of 4  KL of a batch", timeout=30_000)
        keep_a_picture(page, "progress")


@pytest.mark.parametrize("lab", EXPLORERS)
def test_moving_a_slider_redraws_each_figure(page, lab):
    explorers = EXPLORERS[lab]
    boxes = page.locator(".jp-OutputArea-output .widget-vbox:has(img.widget-image)")
    page.expect(boxes).to_have_count(explorers, timeout=30_000)
    for i in range(explorers):
        move_and_watch(page, boxes.nth(i), page.expect)
        keep_a_picture(page, f"{lab[:2]}_{i + 1}")


@pytest.mark.parametrize("lab", ["00_map_of_generative_models"])
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


@pytest.mark.parametrize("lab", ["14_conditioning"])
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


@pytest.mark.parametrize("lab", ["15_beyond_the_training_resolution"])
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
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    expect(text).not_to_have_text(said, timeout=15_000)
    expect(figure).not_to_have_attribute("src", before, timeout=15_000)
    page.wait_for_timeout(2_000)  # all nine are drawn
    before, start = figure.get_attribute("src"), time.perf_counter()
    page.keyboard.press("ArrowRight")
    expect(figure).not_to_have_attribute("src", before, timeout=15_000)
    print(f"a move was seen after {time.perf_counter() - start:.2f} s")  # a look every tenth of a second: no better than that
