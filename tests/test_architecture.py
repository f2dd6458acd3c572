"""The house, read from the code itself: who may import whom, how large things are, and the public names.

The rules are functions of a folder, so that they can be shown to fail on a small tree with planted violations.
"""

import ast
import importlib
import inspect
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minidiff"

# unit -> the units it may import; what those may import, it may too. "prediction -> schedule" is for the Denoiser protocol.
ARROWS = {
    "arrays": set(),
    "gaussian": {"arrays"},
    "schedule": {"arrays"},
    "process": {"gaussian", "schedule"},
    "prediction": {"arrays", "schedule"},
    "reverse": {"process", "prediction"},
    "bound": {"reverse"},
    "sample": {"process", "prediction", "reverse"},
    "likelihood": {"bound", "sample"},
    "wrappers": {"bound", "sample"},
    "edit": {"bound", "sample"},
    "mixture": {"gaussian", "schedule", "prediction"},
    "toy": {"mixture"},
    "metrics": {"arrays"},
    "neighbours": {"metrics"},
    "estimate": {"bound"},
}
CORE = frozenset(ARROWS)
PACKAGES = {
    "verify": CORE,
    "doctor": {"arrays", "gaussian", "schedule", "process", "prediction", "reverse", "bound", "sample"},
    "nn": {"gaussian"},
    "learn": CORE | {"nn"},
    "families": {"gaussian", "nn"},
    "course": CORE,
    "run": CORE | {"verify", "doctor", "learn", "nn", "families", "course"},
    "notebook": CORE | {"verify", "doctor", "learn", "nn", "families", "run", "course"},
}
VERIFY_WITH_NETWORKS = {
    "improved_training.py": {"learn"}, "latent.py": {"nn", "learn"}, "first_stage.py": {"nn"}, "families.py": {"nn", "families"},
    "families_exact.py": {"nn", "families"},
}  # fmt: skip
DRAWING = {"matplotlib", "ipywidgets", "IPython"}
FILE_LINES, FUNCTION_LINES, CORE_LINES = 250, 45, 2300


def closed(arrows):
    """The arrows with everything that can be reached along them."""
    reach = {}
    for unit in TopologicalSorter(arrows).static_order():
        reach[unit] = set(arrows[unit]).union(*(reach[u] for u in arrows[unit]))
    return reach


ALLOWED = closed(ARROWS) | PACKAGES


def sources(package):
    return sorted(p for p in package.rglob("*.py") if "data" not in p.relative_to(package).parts[:1])


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def unit_of(path, package):
    """The core module or the subpackage that a file belongs to; "" for the package's own __init__."""
    first = path.relative_to(package).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def at_import(node):
    """The statements that run when the module is imported: not those of functions, nor those for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from at_import(child)


def imported(nodes, path, package):
    """Dotted names of the modules that import statements ask for; `from a import b` is a.b where that is a module."""
    name = package.name
    here = [name, *path.relative_to(package).with_suffix("").parts]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) - node.level], *([node.module] if node.module else [])]) if node.level else node.module
            for alias in node.names:
                parts = base.split(".")
                inside = package.joinpath(*parts[1:], alias.name) if parts[0] == name else None
                is_module = inside is not None and (inside.with_suffix(".py").exists() or (inside / "__init__.py").exists())
                yield f"{base}.{alias.name}" if is_module else base


def direction_violations(package):
    """Imports against the arrows, drawing outside `notebook`, and torch at import time of the core."""
    wrong = []
    for path in sources(package):
        unit, rel, code = unit_of(path, package), path.relative_to(package), tree(path)
        allowed = set(CORE) if unit == "" else ALLOWED.get(unit)
        if allowed is None:
            wrong.append(f"{rel}: a unit that the design does not know")
            continue
        if unit == "verify":
            allowed = allowed | VERIFY_WITH_NETWORKS.get(path.name, set())
        for name in imported(ast.walk(code), path, package):
            top, *rest = name.split(".")
            if top in DRAWING and unit != "notebook":
                wrong.append(f"{rel}: imports {top}; only notebook draws")
            if top != package.name:
                continue
            if not rest and (unit in CORE or not allowed >= CORE):
                wrong.append(f"{rel}: imports {package.name} as a whole")
            if rest and rest[0] != unit and rest[0] not in allowed:
                wrong.append(f"{rel}: imports {rest[0]}, which {unit or 'the package'} may not")
        if unit in CORE | {""} and any(n.split(".")[0] == "torch" for n in imported(at_import(code), path, package)):
            wrong.append(f"{rel}: imports torch when it is imported")
    return wrong


def cycle(package):
    """A cycle of imports at import time, or None."""
    graph = {}
    for path in sources(package):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[module] = {n for n in imported(at_import(tree(path)), path, package) if n.split(".")[0] == package.name and n != module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        return e.args[1]
    return None


def size_violations(package):
    """Files, functions and a core that are too long to be read in one go."""
    wrong, core = [], 0
    for path in sources(package):
        rel, n = path.relative_to(package), len(path.read_text(encoding="utf-8").splitlines())
        core += n if unit_of(path, package) in CORE | {""} else 0
        if n > FILE_LINES:
            wrong.append(f"{rel}: {n} lines; at most {FILE_LINES}")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and (length := node.end_lineno - node.lineno + 1) > FUNCTION_LINES:
                wrong.append(f"{rel}: {node.name} has {length} lines; at most {FUNCTION_LINES}")
    if core >= CORE_LINES:
        wrong.append(f"the core has {core} lines; it must stay under {CORE_LINES}")
    return wrong


def undocumented(package):
    """Public modules, functions, classes and their public methods without a docstring; stubs of a protocol are exempt."""
    wrong = []
    for path in sources(package):
        code, rel = tree(path), path.relative_to(package)
        if not ast.get_docstring(code):
            wrong.append(f"{rel}: the module")
        todo = [("", node) for node in code.body]
        while todo:
            prefix, node = todo.pop()
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_") or node.name == "forward":
                continue  # a network's forward is documented by its class
            stub = ast.unparse(node.body[-1]) == "..."
            if not ast.get_docstring(node) and not stub:
                wrong.append(f"{rel}: {prefix}{node.name}")
            if isinstance(node, ast.ClassDef):
                todo += [(f"{node.name}.", child) for child in node.body]
    return wrong


# The rules on minidiff


def test_imports_follow_the_arrows():
    assert direction_violations(PACKAGE) == []


def test_no_cycles():
    assert cycle(PACKAGE) is None


def test_sizes():
    assert size_violations(PACKAGE) == []


def test_everything_public_has_a_docstring():
    assert undocumented(PACKAGE) == []


def test_importing_minidiff_imports_no_torch():
    code = "import minidiff, sys; assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# The rules on a tree with planted violations


def plant(folder, **files):
    package = folder / "house"
    for name, text in {"__init__": '"""House."""', "arrays": '"""Arrays."""', **files}.items():
        path = package / (name.replace("__init__", "INIT").replace("__", "/").replace("INIT", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return package


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gaussian", "from house.schedule import Schedule", "imports schedule"),
        ("gaussian", "from house import arrays, sample", "imports sample"),
        ("gaussian", "def f():\n    from .toy import ring", "imports toy"),
        ("gaussian", "from house import Gaussian", "as a whole"),
        ("process", "import house.reverse", "imports reverse"),
        ("metrics", "from house.toy import ring", "imports toy"),
        ("nn__unet", "from house.process import marginal", "imports process"),
        ("nn__unet", "from house import Schedule", "as a whole"),
        ("learn__train", "from house.run.data import mnist", "imports run"),
        ("verify__ddpm", "from house.nn import UNet", "imports nn"),
        ("run__cli", "def tour():\n    from house.notebook import tour", "imports notebook"),
        ("run__cli", "from ..notebook.tour import main", "imports notebook"),
        ("run__cli", "import matplotlib.pyplot as plt", "only notebook draws"),
        ("verify__show", "from IPython.display import Math", "only notebook draws"),
        ("arrays", "import torch", "torch when it is imported"),
        ("arrays", "try:\n    from torch import nn\nexcept ImportError:\n    pass", "torch when it is imported"),
        ("__init__", "import torch", "torch when it is imported"),
        ("utils", "", "does not know"),
    ],
)
def test_a_wrong_import_is_found(tmp_path, name, text, message):
    wrong = direction_violations(plant(tmp_path, toy="", sample="", **{name: text}))
    assert len(wrong) == 1 and message in wrong[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bound", "from house.arrays import like\nfrom house.process import marginal\nfrom . import gaussian"),
        ("arrays", "def f():\n    import torch"),
        ("arrays", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("verify__latent", "from house.nn import autoencoder\nfrom house import Gaussian"),
        ("notebook__tour", "import matplotlib\nfrom house.run import data"),
        ("nn__unet", "import torch\nfrom house.gaussian import Gaussian\nfrom house.nn import blocks"),
    ],
)
def test_a_right_import_is_let_pass(tmp_path, name, text):
    package = plant(tmp_path, gaussian="", nn__blocks="", nn__autoencoder="", run__data="", **{name: text})
    assert direction_violations(package) == []


def test_a_cycle_is_found(tmp_path):
    package = plant(tmp_path, run__a="from house.run import b", run__b="import house.run.c", run__c="from .a import x")
    assert set(cycle(package)) == {"house.run.a", "house.run.b", "house.run.c"}
    assert cycle(plant(tmp_path / "lazy", run__a="from house.run import b", run__b="def f():\n    from house.run import a")) is None


def test_long_files_functions_and_cores_are_found(tmp_path):
    function = "def f():\n" + "    pass\n" * FUNCTION_LINES
    package = plant(tmp_path, gaussian="# long\n" * (FILE_LINES + 1), run__a=function)
    assert [line.split(":")[0] for line in size_violations(package)] == ["gaussian.py", "run/a.py"]
    big = dict.fromkeys(list(ARROWS)[1:11], "# long\n" * (FILE_LINES - 1))
    assert "the core has" in "".join(size_violations(plant(tmp_path / "big", **big)))


def test_a_missing_docstring_is_found(tmp_path):
    methods = "    def m(self): return 1\n    def __call__(self): return 1\n    def stub(self): ..."
    text = f'"""A."""\ndef f(): pass\ndef _g(): pass\nclass C:\n    """C."""\n{methods}'
    assert sorted(undocumented(plant(tmp_path, toy=text))) == ["toy.py: C.m", "toy.py: f"]


# The public names. What is documented comes first, in this order and with these defaults; whatever follows has a default.

SIGNATURES = {
    "minidiff.Gaussian": "mean, var",
    "minidiff.Gaussian.sample": "self, noise",
    "minidiff.Gaussian.log_prob": "self, x",
    "minidiff.Gaussian.kl": "self, other",
    "minidiff.Gaussian.push": "self, scale, var",
    "minidiff.Gaussian.given": "self, scale, var, y",
    "minidiff.Schedule": "alpha_bar",
    "minidiff.Schedule.linear": "T=1000, beta_1=0.0001, beta_T=0.02",
    "minidiff.Schedule.cosine": "T=1000, offset=0.008, max_beta=0.999",
    "minidiff.Schedule.sigmoid": "T",
    "minidiff.Schedule.from_betas": "betas",
    "minidiff.Schedule.scales": "self, t",
    "minidiff.Schedule.snr": "self, t",
    "minidiff.Schedule.half_log_snr": "self, t",
    "minidiff.Schedule.times": "self, n, spacing='trailing'",
    "minidiff.marginal": "schedule, x_0, t",
    "minidiff.transition": "schedule, x_s, s, t",
    "minidiff.posterior": "schedule, x_0, x_t, s, t",
    "minidiff.Prediction": "x_0, eps, var_mix=None",
    "minidiff.from_output": "kind, output, x_t, signal, noise",
    "minidiff.target": "kind, x_0, eps, signal, noise",
    "minidiff.reverse_transition": "schedule, pred, x_t, s, t, variance='small'",
    "minidiff.prior_term": "schedule, x_0",
    "minidiff.step_term": "schedule, pred, x_0, x_t, s, t, variance='small'",
    "minidiff.decoder_term": "schedule, pred, x_0, x_1, variance='small'",
    "minidiff.variational_bound": "denoiser, x_0, draw, variance='small', times=None",
    "minidiff.Bound": "prior, steps, decoder",
    "minidiff.stratified_bound": "denoiser, x_0, draw, rng, strata=16, variance='small', cond=None",
    "minidiff.bits_per_dim": "nats, dims",
    "minidiff.ddpm": "denoiser, x, times, draw, cond=None, variance='small'",
    "minidiff.ddim": "denoiser, x, times, draw=None, cond=None, eta=0.0",
    "minidiff.dpm_solver": "denoiser, x, times, cond=None, order=2",
    "minidiff.heun": "denoiser, x, times, cond=None",
    "minidiff.inpaint": "denoiser, x, times, draw, known, mask, cond=None, resample=1",
    "minidiff.start_from": "schedule, x_0, times, strength, draw",
    "minidiff.invert": "denoiser, x_0, times=None, cond=None",
    "minidiff.flow_log_prob": "denoiser, x_0",
    "minidiff.optimal_variance": "schedule, mmse",
    "minidiff.ClassDenoiser": "classes, weights, schedule",
    "minidiff.last": "steps",
    "minidiff.Step": "t, x_t, x_0",
    "minidiff.Guided": "denoiser, scale",
    "minidiff.Guided.__call__": "self, x_t, t, cond=None",
    "minidiff.Clipped": "denoiser, low=-1, high=1",
    "minidiff.Clipped.__call__": "self, x_t, t, cond=None",
    "minidiff.GaussianMixture": "",
    "minidiff.ExactDenoiser": "",
    "minidiff.ExactDenoiser.__call__": "self, x_t, t, cond=None",
    "minidiff.learn.Condition": "vector=None, tokens=None, image=None",
    "minidiff.learn.Condition.drop": "self, mask",
    "minidiff.learn.Condition.null": "self",
    "minidiff.learn.NetworkDenoiser": "network, schedule",
    "minidiff.learn.NetworkDenoiser.__call__": "self, x_t, t, cond=None",
    "minidiff.learn.simple_loss": "denoiser, x_0, t, eps",
    "minidiff.learn.vlb_loss": "denoiser, x_0, t, eps",
    "minidiff.learn.hybrid_loss": "denoiser, x_0, t, eps",
    "minidiff.learn.LossAwareTimes": "T, history=10, uniform=0.001",
    "minidiff.learn.fit": "",
    "minidiff.learn.save": "path",
    "minidiff.learn.load": "path",
    "minidiff.run.build": "recipe",
    "minidiff.run.mnist": "split='train'",
    "minidiff.notebook.setup": "seed",
    "minidiff.notebook.budget": "quick, full",
}


def find(name):
    parts = name.split(".")
    depth = 2 if parts[1] in PACKAGES else 1
    found = importlib.import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        found = getattr(found, part)
    return found


def documented(text):
    return [tuple(item.split("=")) for item in text.split(", ")] if text else []


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_the_documented_ones(name):
    actual = list(inspect.signature(find(name)).parameters.values())
    wanted = documented(SIGNATURES[name])
    assert [p.name for p in actual[: len(wanted)]] == [name for name, *_ in wanted]
    for parameter, (_, *default) in zip(actual, wanted, strict=False):
        if default:
            assert parameter.default == ast.literal_eval(default[0])
    if wanted:
        required = [p.name for p in actual[len(wanted) :] if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        assert name in ("minidiff.learn.save", "minidiff.learn.load") or not required


def test_the_other_public_names():
    import minidiff
    from minidiff import notebook, run

    schedule = minidiff.Schedule.linear(10)
    assert schedule.T == 10 and len(schedule.alpha_bar) == len(schedule.beta) == 11 and schedule.alpha_bar[0] == 1 and schedule.beta[0] == 0
    assert {"toy-ring", "mnist-ddpm"} <= run.RECIPES.keys()
    assert inspect.ismodule(notebook.plots) and inspect.ismodule(notebook.widgets)
    assert all(hasattr(minidiff, name) for name in minidiff.__all__)
    assert isinstance(minidiff.Bound.total, property)
