"""The static site: nothing is left out of it, its formulas say what the docstrings say, and, once built, all of its links lead somewhere.

What needs the built site is asked for by MINIDIFF_SITE=build/site (`make test-site`); what needs a browser, by a Chromium as well.
"""

import ast
import functools
import html.parser
import http.server
import json
import os
import re
import runpy
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
from browser import CHROMIUM, FLAGS

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs/site"), str(ROOT / "tools")]

import build_site  # noqa: E402
import docstrings  # noqa: E402
import formulas  # noqa: E402
import weave  # noqa: E402

BUILT = Path(os.environ.get("MINIDIFF_SITE", "."))
built = pytest.mark.skipif("MINIDIFF_SITE" not in os.environ, reason="needs the built site: asked for with MINIDIFF_SITE=build/site")
seen = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
DOCUMENTS = [name for name in build_site.sources() if name.endswith((".md", ".ipynb"))]


# What the site is made of


def contents(index, documents):
    """The documents that the contents in index name, a * expanded."""
    lines = re.findall(r"```\{toctree\}\n(.*?)```", index, re.S)
    names = [re.sub(r".*<(.*)>", r"\1", line) for block in lines for line in block.splitlines() if line and not line.startswith(":")]
    known = [name.rsplit(".", 1)[0] for name in documents]
    return [k for name in names for k in known if re.fullmatch(re.escape(name).replace(r"\*", "[^/]*"), k)]


def test_every_notebook_and_document_is_in_the_contents_once():
    found = contents((ROOT / "docs/site/index.md").read_text(encoding="utf-8"), DOCUMENTS)
    assert sorted(found) == sorted(name.rsplit(".", 1)[0] for name in DOCUMENTS if name != "index.md")
    assert sum(name.startswith("notebooks/") for name in found) == len(list((ROOT / "notebooks").glob("*.ipynb"))) >= 16
    assert {p.name for p in ROOT.glob("*.md")} <= set(DOCUMENTS)


def test_every_public_module_has_its_api_page_once():
    listed = re.findall(r"^   (minidiff[\w.]*)$", (ROOT / "docs/site/api.md").read_text(encoding="utf-8"), re.M)
    modules = set()
    for path in (ROOT / "minidiff").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] != "data" and parts[-1] != "__main__":
            modules.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    reporting = {"minidiff.verify", "minidiff.verify.registry", "minidiff.verify.report"}  # the rest are checks: EQUATIONS.md
    modules -= {m for m in modules if m.startswith("minidiff.course.exercises_")}  # the right answers
    assert sorted(listed) == sorted(m for m in modules if not m.startswith("minidiff.verify") or m in reporting)


@pytest.mark.parametrize("name", [n for n in DOCUMENTS if n.endswith(".md")])
def test_every_figure_says_what_it_shows(name):
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", build_site.sources()[name].read_text(encoding="utf-8")):
        assert len(alt.split()) >= 3, f"{name}: {target} has no alternative text"


def test_buttons_appear_with_the_address_in_pyproject_and_not_before():
    conf = runpy.run_path(str(ROOT / "docs/site/conf.py"))
    assert conf["REPOSITORY"] == conf["PROJECT"].get("urls", {}).get("Repository", "")
    assert ("launch_buttons" in conf["html_theme_options"]) == bool(conf["REPOSITORY"])
    assert conf["launch_options"]("") == {}
    options = conf["launch_options"]("https://host.invalid/course")
    assert options["repository_url"] == "https://host.invalid/course" and {"binderhub_url", "colab_url"} <= options["launch_buttons"].keys()


# Docstrings


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("x_0", "x_{0}"),
        ("q(x_t | x_0)", r"q(x_{t} \mid  x_{0})"),
        ("sqrt(abar_s) beta_ts / (1 - abar_t)", r"\sqrt{\bar\alpha_{s}}\,\beta_{ts} / (1 - \bar\alpha_{t})"),
        ("x_0-hat", r"\hat{x}_{0}"),
        ("sigma^2 = eta^2 beta-tilde(s, t)", r"\sigma^{2} = \eta^{2}\,\tilde{\beta}(s, t)"),
        ("-log p_theta(x_0)", r"-\log\,p_{\theta}(x_{0})"),
        ("||eps - eps_theta(x_t, t)||^2", r"\Vert \epsilon - \epsilon_{\theta}(x_{t}, t)\Vert ^{2}"),
        ("signal eps - noise v", r"\mathrm{signal}\,\epsilon - \mathrm{noise}\,v"),
        ("sqrt(sqrt(eps) (1 + eps))", r"\sqrt{\sqrt{\epsilon}\,(1 + \epsilon)}"),
    ],
)
def test_a_formula_is_read(plain, latex):
    assert list(formulas.spans(f"It is {plain} here.")) == [(False, "It is "), (True, latex), (False, " here.")]


@pytest.mark.parametrize(
    "text",
    ["A mean and the noise.", "t-fold, 95%, 1-D", "prior(x_T)", "max_beta", "var_mix", "as lambda times", "(B, D)", "I is - so - not"],
)
def test_what_is_no_formula_stays_text(text):
    assert list(formulas.spans(text)) == [(False, text)]


def test_two_formulas_are_not_made_one():
    assert [f for is_formula, f in formulas.spans("At s = 0 beta-tilde is 0") if is_formula] == [r"\tilde{\beta}"]
    assert [f for is_formula, f in formulas.spans("x_s = eta z, eps = 1") if is_formula] == [r"x_{s} = \eta\,z", r"\epsilon = 1"]


def all_docstrings():
    for path in sorted((ROOT / "minidiff").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield path.name, text


def test_no_docstring_loses_a_word_and_brackets_stay_paired():
    found = 0
    for name, text in all_docstrings():
        pieces = list(formulas.spans(" ".join(text.split())))
        for _, part in (p for p in pieces if p[0]):
            found += 1
            assert all(part.count(a) == part.count(b) for a, b in ("()", "[]", "{}")), f"{name}: {part}"
        kept = set(re.findall(r"[a-z]{4,}", " ".join(part for _, part in pieces)))
        lost = set(re.findall(r"(?<![\w])[a-z]{4,}(?![\w-])", text)) - kept - formulas.SYMBOLS.keys()
        assert not lost, f"{name}: {lost}"
    assert found > 500


def test_layout_of_a_docstring():
    assert docstrings.block(["a = 1", "b is x_0"]) == ["| a = 1", r"| b is \ :math:`x_{0}`\ ", ""]
    assert docstrings.block([">>> 1 * 2", "2"]) == [">>> 1 * 2", "2", ""]
    assert docstrings.block(["Says `posterior`, *twice*, and max_c. Source: X."]) == [
        r"Says :py:obj:`posterior <minidiff.process.posterior>`, *twice*, and max\_c.", "", "**Source:** X.", "",
    ]  # fmt: skip


def test_the_ledger_stands_below_its_functions():
    assert docstrings.resolve("minidiff.posterior") == "minidiff.process.posterior"
    assert docstrings.resolve("minidiff.nothing") is None
    text = "\n".join(docstrings.formulas("minidiff.process.posterior"))
    assert r"\tilde\mu_t" in text and "<ledger-ddpm-6-7>" in text
    unknown = [e.name for e in docstrings.ledger().get(None, [])]
    assert not unknown, f"the ledger names functions that do not exist: {unknown}"


# On the way into the site


def test_widgets_become_a_sentence_and_figures_get_a_text():
    shown, texts = 0, []
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        before = path.read_text(encoding="utf-8")
        after = weave.static(before)
        assert "(children=" not in "".join(o for o in re.findall(r'"text/plain": .*', after))
        shown += after.count(weave.INSTEAD)
        kept = [c["source"] for c in json.loads(after)["cells"] if c["metadata"].get("tags") != ["remove-input"]]
        assert kept == [c["source"] for c in json.loads(before)["cells"]]
        for cell in json.loads(after)["cells"]:
            figures = [o for o in cell.get("outputs", []) if weave.is_figure(o)]
            assert len(figures) < 2, "MyST-NB takes one text for a whole cell"
            texts += [(cell["metadata"]["mystnb"]["image"]["alt"], o["metadata"]["image/png"]["alt"]) for o in figures]
    assert shown >= 8 and len(texts) >= 108 and all(woven == written for woven, written in texts)


def test_links_to_sources_and_equations_are_woven():
    assert weave.modules("[a](minidiff/nn/unet.py)") == "[a](api/minidiff.nn.unet.rst)"
    assert weave.modules("[b](minidiff/families), [c](data/README.md)") == "[b](api/minidiff.families.rst), [c](data/README.md)"
    woven = weave.equations("### ddpm 6-7: title\n\nFunction: `minidiff.posterior`. ")
    assert woven == "(ledger-ddpm-6-7)=\n### ddpm 6-7: title\n\nFunction: {py:obj}`minidiff.posterior <minidiff.process.posterior>`. "


# The built site


class Page(html.parser.HTMLParser):
    """The addresses that a page names, its anchors, its pictures without a text, and the texts of the others."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.silent, self.texts = [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        here = dict(attrs)
        self.anchors |= {here[k] for k in ("id", "name") if here.get(k)}
        self.links += [(tag, here[k]) for k in ("href", "src") if here.get(k)]
        if tag == "img" and not here.get("alt"):
            self.silent.append(here.get("src"))
        self.texts += [here["alt"]] if tag == "img" and here.get("alt") else []


def broken(site):
    """Every link, source and anchor that leads nowhere, and everything that a page would load from another host."""
    pages, wrong = {p: Page(p) for p in site.rglob("*.html") if "_static" not in p.parts}, []
    for path, page in pages.items():
        for tag, link in page.links:
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                if tag != "a" and url.scheme != "data":
                    wrong.append(f"{path.relative_to(site)} loads {link}")
                continue
            target = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
            if not target.is_file():
                wrong.append(f"{path.relative_to(site)}: {link} leads nowhere")
            elif url.fragment and target in pages and urllib.parse.unquote(url.fragment) not in pages[target].anchors:
                wrong.append(f"{path.relative_to(site)}: {link} has no such anchor")
    return wrong


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<p id="here"><a href="b.html">b</a><a href="#there">x</a><a href="#here">y</a><a href="https://host.invalid">z</a>')
    (tmp_path / "c.html").write_text('<img src="https://host.invalid/p.png"><a href="a.html#here">y</a>')
    wrong = broken(tmp_path)
    assert len(wrong) == 3 and {"b.html leads nowhere", "no such anchor", "loads https"} == {
        m for m in ("b.html leads nowhere", "no such anchor", "loads https") if any(m in w for w in wrong)
    }


@built
def test_every_link_inside_the_site_leads_somewhere():
    assert len(list(BUILT.glob("notebooks/*.html"))) >= 16
    assert broken(BUILT.resolve()) == []


@built
def test_every_picture_has_a_text_and_nothing_is_left_raw():
    for path in [*BUILT.glob("*.html"), *BUILT.glob("[abdn]*/*.html")]:
        assert Page(path).silent == [], path
        text = re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
        assert "(children=" not in text and "$$" not in text, f"{path}: a widget's name for itself, or a formula that was not read"


@built
def test_the_figures_of_a_notebook_say_on_its_page_what_their_author_wrote():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        outputs = [o for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] for o in cell.get("outputs", [])]
        written = [o["metadata"]["image/png"]["alt"] for o in outputs if weave.is_figure(o)]
        on_page = Page(BUILT / "notebooks" / f"{path.stem}.html").texts
        assert len(written) >= 3 and [text for text in on_page if text in written] == written, path.stem


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """The site on a server of its own."""
    handler = functools.partial(Quiet, directory=BUILT)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser, request):
    """A page of the given width that notes what it asks for and what goes wrong."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.asked, page.failed = [], []
    page.on("request", lambda r: page.asked.append(r.url))
    page.on("requestfailed", lambda r: page.failed.append(r.url))
    page.on("response", lambda r: page.failed.append(r.url) if r.status >= 400 else None)
    yield page
    page.close()


FORMULAS = {  # page -> at least so many rendered formulas
    "notebooks/04_variational_bound.html": 50, "notebooks/08_fast_sampling.html": 50, "EQUATIONS.html": 90, "api.html": 1,
    "api/minidiff.process.html": 20, "api/minidiff.likelihood.html": 10, "index.html": 0, "README.html": 0, "data/README.html": 0,
    "benchmarks/BENCHMARKS.html": 0, "CONTRIBUTING.html": 0, "genindex.html": 0,
}  # fmt: skip


@built
@seen
@pytest.mark.parametrize("page", [1280, 390], indirect=True)
def test_pages_render_their_formulas_fit_their_width_and_ask_no_other_host(page, address):
    for name, least in FORMULAS.items():
        page.goto(address + name)
        if least:
            page.locator("mjx-container").first.wait_for(state="attached", timeout=60_000)
            page.wait_for_function("MathJax.startup.promise.then(() => true)", timeout=60_000)
        assert page.locator("mjx-container").count() >= least, name
        assert page.locator("mjx-merror").count() == 0, name
        page.wait_for_function("document.fonts.ready.then(() => true)")
        wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= window, f"{name} is {wide} pixels wide on a screen of {window}"
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []
    assert page.failed == []
    assert any("woff" in url for url in page.asked)  # the fonts of the formulas came from here


@built
@seen
@pytest.mark.parametrize("page", [1280], indirect=True)
def test_a_word_is_found(page, address):
    page.goto(address + "search.html?q=posterior")
    for expected in ("03_posterior", "minidiff.process", "EQUATIONS"):  # results come one by one
        page.locator(f"#search-results a[href*='{expected}']").first.wait_for(timeout=30_000)
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == [] and page.failed == []
