# Every target makes the virtual environment first if it is missing. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# One thread: on a small or busy machine two threads of torch wait for each other and run many times slower.
export OMP_NUM_THREADS ?= 1
# Test files side by side: one process for each of two cores.
WORKERS ?= 2
# uv does not read pip's settings, so a folder of local wheels known to pip is handed on.
FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))

# At both ends of the window torch stays at its pin, which alone is sure to exist as a CPU build; TORCH=2.14.1 tries another.
TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)
# A uv of its own, not a pinned one: it is needed just when the pins cannot be installed.
UV := build/uv/bin/uv
WITH_LINKS := $(if $(FIND_LINKS),UV_FIND_LINKS="$(FIND_LINKS)")
HOW_TO_MEND := the pins of constraints.txt cannot be installed with this Python and package index. Write them anew with: make pins \
  (then make test; see CONTRIBUTING.md, "Versions")

.DEFAULT_GOAL := help
.PHONY: help setup tour test test-window test-oldest test-newest pins lab lint notebooks full course test-grading check-notebooks equations
.PHONY: mutants browser-test site test-site wheel clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "  make %-16s %s\n", $$1, $$2 }'

setup: $(VENV)/.done  ## make the virtual environment (VENV=.venv, PYTHON=python3)

$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "minidiff needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V 2>&1`; try make PYTHON=python3.12" >&2; exit 1; }
	@echo "installing into $(VENV): once, some minutes, 2 GB"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt uv || echo "uv cannot be installed; going on with pip"
	@if [ -x $(BIN)/uv ]; then \
	  echo "$(BIN)/uv pip install --compile-bytecode -c constraints.txt -e .[test]"; \
	  $(WITH_LINKS) $(BIN)/uv pip install -q --python $(PY) --compile-bytecode -c constraints.txt -e '.[test]'; \
	else \
	  echo "$(PY) -m pip install -c constraints.txt -e .[test]"; \
	  $(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'; \
	fi || { echo '$(HOW_TO_MEND)' >&2; exit 1; }
	@touch $@

tour: setup  ## the whole of it in a few minutes: equations, a 2-D diffusion, digits; writes out/index.html
	$(BIN)/minidiff tour

test: lint check-notebooks mutants  ## everything that CI runs
	$(PY) -m pytest --nbval -n $(WORKERS) --dist loadfile tests notebooks

test-window: test-oldest test-newest  ## all tests with the lowest, then with the newest versions that pyproject.toml allows (test-oldest, test-newest: one end)

test-oldest test-newest: TESTS ?= tests notebooks
test-oldest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
# Old libraries warn of each other's deprecations: with the lowest versions those are shown, and are no errors.
test-oldest: WARNINGS := -W default::DeprecationWarning -W default::PendingDeprecationWarning
# Notebooks are executed, but their outputs not compared: repr and pictures differ between versions, and `make test` compares them.
test-oldest test-newest: $(UV)
	$(PYTHON) -m venv --clear build/$@
	$(WITH_LINKS) $(UV) pip install -q --python build/$@/bin/python --compile-bytecode torch==$(TORCH)
	$(WITH_LINKS) $(UV) pip install -q --python build/$@/bin/python --compile-bytecode --resolution $(RESOLUTION) torch==$(TORCH) -e '.[test]'
	$(UV) pip freeze --python build/$@/bin/python > build/$@/versions.txt
	MINIDIFF_WINDOW=$(RESOLUTION) build/$@/bin/python -m pytest --nbval-lax $(WARNINGS) -n $(WORKERS) --dist loadfile $(TESTS)

pins: $(UV)  ## write constraints.txt anew: the newest versions that pyproject.toml allows (torch keeps its own)
	$(WITH_LINKS) $(PYTHON) tools/pins.py $(UV)

$(UV):
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install -q --disable-pip-version-check uv

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

notebooks: setup  ## run the notebooks whose sources changed (notebooks/src) and save their outputs
	$(PY) tools/build_notebooks.py

full: setup  ## run the notebooks long, on all data at hand, into out/full (hours; ONLY=12 for one of them)
	$(PY) tools/build_notebooks.py --profile full $(addprefix --only ,$(ONLY))

course: setup  ## the notebooks for students, with solutions, and for nbgrader, into build/student, solution, instructor
	$(PY) tools/release.py

test-grading: setup  ## nbgrader makes and grades two of them (installs it)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt 'nbgrader>=0.9.5'
	$(PY) -m pytest tests/test_release.py

check-notebooks: setup  ## do the notebooks agree with their sources?
	$(PY) tools/build_notebooks.py --check

equations: setup  ## write EQUATIONS.md from the ledger
	$(PY) -m minidiff.verify

mutants: setup  ## plant known mistakes in a copy of the code; each must be caught
	$(PY) tests/mutants.py

browser-test: setup  ## a real browser opens the course, passes an exercise, moves sliders, paints a map (needs chromium)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt playwright
	MINIDIFF_LAB=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal tests/test_lab.py

site: setup  ## the course as web pages that need no network: build/site/index.html
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(PY) tools/build_site.py

test-site: site  ## every link of the site; a real browser opens and searches it, and nothing else is asked for (needs chromium)
	$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt playwright
	MINIDIFF_SITE=build/site $(PY) -m pytest tests/test_site.py

lab: setup  ## open the course in JupyterLab, in a folder of your own: my-course (OPTIONS="--no-browser --port 9000")
	$(BIN)/minidiff lab $(if $(OPTIONS),-- $(OPTIONS))

wheel: setup  ## build dist/minidiff-*.whl, data and weights inside
	$(PY) -m hatchling build -t wheel -d dist

clean:  ## remove what the other targets made, but for the environment (rm -r .venv) and your runs/
	rm -rf build dist out .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
