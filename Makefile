# Everything a contributor runs. Needs python3 (3.11 or newer), make and git; the rest goes in .venv.
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
export UV_HTTP_TIMEOUT ?= 300

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: demo test pytest lint types layers audit format bench docs sbom release clean help
.PHONY: pytest-core pytest-searches pytest-parallel pytest-runtimes pytest-exports pytest-browser

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## the whole of seam in about a minute, offline
	$(BIN)/seam demo

test: lint layers  ## what has to pass before a commit
	@$(SIDE_BY_SIDE) pytest-core pytest-searches types pytest-parallel pytest-runtimes pytest-exports pytest-browser

# Compilers and runtimes of several makers in one process have been seen to end in a segmentation
# fault after a thousand tests; those that load them have processes of their own. Two of these run
# at a time, each on one thread and with its output in one piece; JOBS=1 shows it as it comes. The
# longest are first. Those of several processes fork, which PyTorch forbids once threads of its
# autograd run.
SEARCHES := $(wildcard $(addprefix tests/,jobs search hub storage faults hostile))
PARALLEL := tests/parallel
RUNTIMES := tests/cli tests/evaluation tests/bench tests/test_docs.py
EXPORTS := tests/contracts/test_architectures.py
BROWSER := tests/reporting/test_browser.py
PYTEST := $(BIN)/python -m pytest -q --durations=5
JOBS := $(if $(filter output-sync,$(.FEATURES)),2,1)
SYNC := $(if $(filter-out 1,$(JOBS)),--output-sync=target)
SIDE_BY_SIDE = $(MAKE) --no-print-directory --keep-going -j$(JOBS) $(SYNC)
pytest: $(STAMP)  ## the tests alone
	@$(SIDE_BY_SIDE) pytest-core pytest-searches pytest-parallel pytest-runtimes pytest-exports pytest-browser

pytest-core: $(STAMP)
	$(PYTEST) tests src $(patsubst %,--ignore=%,$(SEARCHES) $(PARALLEL) $(RUNTIMES) $(EXPORTS) $(BROWSER))

pytest-searches: $(STAMP)
	$(PYTEST) $(SEARCHES)

pytest-parallel: $(STAMP)
	$(PYTEST) $(PARALLEL)

pytest-runtimes: $(STAMP)
	$(PYTEST) $(RUNTIMES)

pytest-exports: $(STAMP)
	$(PYTEST) $(EXPORTS)

pytest-browser: $(STAMP)
	$(PYTEST) $(BROWSER)

lint: $(STAMP)  ## style: ruff's rules and its formatter's opinion
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)  ## mypy, strict, on src
	$(BIN)/mypy

layers: $(STAMP)  ## import-linter: no file imports from a higher layer
	$(BIN)/lint-imports

audit: $(STAMP)  ## requirements.lock against known vulnerabilities
	$(BIN)/python .ci/audit.py

format: $(STAMP)  ## rewrite the files in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)  ## list the experiments; each runs with .venv/bin/python FILE
	@$(BIN)/python -c 'import ast, pathlib; \
	[print(f"{str(p):32}", (ast.get_docstring(ast.parse(p.read_text())) or "").partition("\n")[0]) \
	for p in sorted(pathlib.Path("bench").glob("*.py"))]'

docs: $(STAMP)  ## check the links and build the documentation site in site/
	$(BIN)/python docs/check_links.py
	$(BIN)/sphinx-build -q -W --keep-going -c docs -d build/doctrees . site
	@echo "open site/index.html"

sbom: $(STAMP)  ## what requirements.lock installs, as CycloneDX, in dist/
	$(BIN)/python .ci/sbom.py

release: $(STAMP)  ## build wheel and sdist twice, compare, audit, and try both in empty environments
	.ci/release

clean:  ## remove caches and build products; keeps .venv and runs/
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in python3.11 python3; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv $(VENV)"; exec $$python -m venv $(VENV); \
	  fi; \
	done; \
	echo "seam needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || echo none)." >&2; \
	echo "Install it and its venv module (Debian, Ubuntu: apt-get install python3.11-venv)." >&2; \
	exit 1

# The hashes of requirements.lock hold for uv itself too, and nothing is fetched to build seam.
$(STAMP): pyproject.toml requirements.lock | $(BIN)/python
	@$(BIN)/uv --version 2>/dev/null \
	  || sed -n '/^uv==/,/[^\]$$/p' requirements.lock \
	    | $(BIN)/python -m pip install --quiet --require-hashes -r /dev/stdin \
	  || echo "uv could not be installed; going on with pip, which takes longer"
	@if $(BIN)/uv --version >/dev/null 2>&1; then \
	  install="$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python"; \
	else \
	  install="$(BIN)/python -m pip install --quiet"; \
	fi; \
	set -ex; \
	$$install --require-hashes -r requirements.lock; \
	$$install --no-deps --no-build-isolation -e .
	@touch $@
