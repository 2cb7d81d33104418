# make run   sets up .venv and runs the embedded default end to end (make run RECIPE=quick: a recipe)
# make test  sets up .venv and runs the tests
# make docs  builds the documentation as a site: build/site/index.html
# All are safe to repeat; nothing is installed twice.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test test-vllm docs lint lock clean-venv
.DEFAULT_GOAL := run

run: $(READY)
	@$(if $(RECIPE),$(BIN)/whetstone use $(RECIPE) &&) $(BIN)/whetstone run

test: $(READY)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# optional: the vLLM rollout engine against the local one, with vLLM's CPU build in an environment of its own
VLLM := .venv-vllm
test-vllm: $(VLLM)/.ready
	@$(VLLM)/bin/python -m pytest tests/optional $(ARGS)

$(VLLM)/.ready: tests/optional/vllm.lock
	@test -x $(VLLM)/bin/python || "$(PYTHON)" -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install -q $$(grep -E '^(setuptools|torch)==' tests/optional/vllm.lock)
	@$(VLLM)/bin/python -m pip install -q --no-deps -r tests/optional/vllm.lock
	@touch $@

lint: $(READY) docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

# warnings are errors (strict in mkdocs.yml; with --quiet they would not be); nothing is fetched
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# torch first and alone: pip then takes the CPU build wherever one is offered, and nothing below asks for another
$(READY): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { echo "Whetstone needs Python 3.11 or 3.12; found: $$("$(PYTHON)" --version). Say which: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@echo "installing the packages of requirements.lock into $(VENV) (a few minutes, once)"
	@$(BIN)/python -m pip install -q $$(grep -E '^(setuptools|wheel|torch)==' requirements.lock)
	@$(BIN)/python -m pip install -q -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# resolve pyproject.toml's ranges anew in an empty environment, and write down what was really installed
lock:
	rm -rf .venv-lock && "$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install -q --upgrade setuptools wheel torch==2.13.0
	.venv-lock/bin/python -m pip install -q $$(.venv-lock/bin/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(" ".join(repr(d.split("#")[0].strip()) for d in p["dependencies"] + p["optional-dependencies"]["dev"]).replace("\x27", ""))')
	.venv-lock/bin/python -m pip check && .venv-lock/bin/python -c 'import prefect.server.api.server'
	{ head -n 1 requirements.lock; .venv-lock/bin/python -m pip freeze --all | grep -v '^pip==' | sed 's/^\(torch==[0-9.]*\).*/\1/'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock && rm -rf .venv-lock

clean-venv:
	rm -rf $(VENV)
