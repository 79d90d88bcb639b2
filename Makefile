# Two commands matter: `make run` (sets up, then measures and searches a bundled data set) and `make test` (sets up, then tests).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# Python compiles what is imported at its first import; all of it is a quarter of the time of an installation.
INSTALL := $(PIP) install --quiet --no-compile --editable
# Where torch comes from. Plain pip brings CUDA on Linux; without a GPU: https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# More for the search of `make run`, such as ARGS="--rounds 9 --seed 3": what is said last counts.
ARGS ?=

.PHONY: run test test-slow lint types docs audit format install clean help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## create .venv and install the program into it
	@echo "Ready: source $(VENV)/bin/activate"

$(VENV)/.installed: pyproject.toml setup.py
	@test -n "$(PYTHON)" || { echo "promptclimb needs Python 3.11 or newer, and none was found on PATH." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "promptclimb needs Python 3.11 or newer; $(PYTHON) is older. Say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; downloads PyTorch and others; a few minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH_INDEX)" || $(PIP) install --quiet --no-compile --index-url $(TORCH_INDEX) torch torchvision
	@$(INSTALL) .
	@touch $@

# The local LLM is optional: without it `make run` says so and searches by a method that needs no LLM. Its model
# (491 MB) is fetched by the first search, and kept in the user's cache.
$(VENV)/.installed-local: $(VENV)/.installed
	@echo "Fetching llama.cpp (30 MB, once); the first search fetches its language model (491 MB, once) ..."
	@$(INSTALL) '.[local]' && touch $@ \
	  || echo "The extra 'local' could not be installed here; going on without a local LLM." >&2

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(INSTALL) '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	@$(INSTALL) '.[docs]'
	@touch $@

$(VENV)/.installed-audit: $(VENV)/.installed-dev
	@$(INSTALL) '.[audit]'
	@touch $@

$(VENV)/.installed-slow: $(VENV)/.installed-dev
	@$(INSTALL) '.[dev,docs,endpoints-test,hf,interop,local,mlflow,page-test,ray,tensorboard,trackers-test,wandb]'
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
	  || echo "There is no chromium here, and none could be installed; the tests of the page will be skipped." >&2
	@touch $@

SEARCH = PROMPTCLIMB_NAME_ROUNDS=1 $(PY) run_agent.py search --data chinese-names --search-for class-names \
	--restarts 1 --conversations 1 --initial 40 --describe "small cartoon pictures of animals and things"

run: $(VENV)/.installed $(VENV)/.installed-local ## measure a bundled set, then search for class names: bundled CLIP, local LLM
	@$(PY) run_agent.py evaluate --data chinese-names
	@$(SEARCH) --llm local $(ARGS) || { test $$? -eq 2 && echo "Searching without an LLM:" && $(SEARCH) $(ARGS); }

# Compiled files are kept even where the user's environment says not to: without them every worker rewrites all
# assertions, and every child process compiles the program.
test test-slow: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.installed-dev ## the tests, on all cores
	$(PY) -m pytest -n auto --dist worksteal

# Many wait for servers and processes, so two run at a time. Ray and trackers come too late beside others.
test-slow: $(VENV)/.installed-slow ## the slower proofs too
	$(PY) -m pytest -m "slow and not alone" -n 2 --dist worksteal
	$(PY) -m pytest -m "slow and alone"
	$(PY) -m pytest -m "hypothesis and not slow" --hypothesis-profile many -n 2 --dist worksteal

lint: types ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.installed-dev ## mypy alone
	@mkdir -p build/seen/promptclimb
	@for room in agent evaluator prompts; do ln -sfn ../../../$$room build/seen/promptclimb/$$room; done
	@ln -sf ../../../promptclimb/__init__.py ../../../promptclimb/__main__.py build/seen/promptclimb/
	@ln -sfn ../../training build/seen/training
	cd build/seen && $(CURDIR)/$(PY) -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p promptclimb -p training

docs: $(VENV)/.installed-docs ## the pages as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict

# Not part of `lint`: it asks the vulnerability service of the package index about every package, and so needs the
# network and finds something new without anybody's doing. The one that is passed over is about pickles, and the
# store holds JSON alone (SECURITY.md).
audit: $(VENV)/.installed-audit ## known weaknesses in what is installed
	$(PY) -m pip_audit --skip-editable --ignore-vuln CVE-2025-69872

format: $(VENV)/.installed-dev ## let ruff put things in order
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean: ## remove what was installed and cached here (runs/ stays)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
