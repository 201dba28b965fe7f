# `make` lists what there is.
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p))))
RUN := .venv/bin/python

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

.PHONY: help setup demo test test-all lint format docs bench bench-quality board clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | sort | awk -F'\t' '{printf "make %-13s %s\n", $$1, $$2}'

setup: .venv/installed ## create .venv and install the package

# In a folder of its own: outputs/latest is another run as soon as that one begins.
demo: .venv/installed ## train for minutes on synthetic faces, evaluate the result
	@set -e; run=outputs/demo-$$(date +%Y-%m-%d_%H-%M-%S); \
	$(RUN) -m facegan.train experiment=demo hydra.run.dir=$$run; \
	$(RUN) -m facegan.evaluate weights=$$run; \
	echo; \
	echo "the newest faces   $$(ls -tr $$run/samples/epoch-*.png | tail -n 1)"; \
	echo "all epochs         $$run/samples/epochs.gif"; \
	echo "the report         $$run/evaluation.html"

# One thread per worker: threads of two workers on the same cores wait for each other.
test: .venv/installed lint ## lint, and the tests that take minutes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not slow" -n auto --maxprocesses 4 --dist worksteal

test-all: .venv/installed lint ## lint and all tests, the slow ones too
	$(RUN) -m pytest

lint: .venv/installed ## ruff and mypy
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: .venv/installed ## ruff's fixes and formatting
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

docs: .venv/installed ## the documents as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

# DATA: a folder with photographs of CelebA
bench-quality: .venv/installed ## lite against the baseline and earlier commits: DATA=PATH, twenty minutes
	$(RUN) benchmarks/recipe.py data.root=$(DATA) data.verify=false

bench: .venv/installed ## measure speeds as ratios: benchmarks/results/bench.json
	$(RUN) benchmarks/bench.py

# Every folder but the link outputs/latest, which TensorBoard would show as one more run.
board: .venv/installed ## TensorBoard of all runs that have begun
	@runs=$$(for run in outputs/*/; do [ -L "$${run%/}" ] || [ ! -d "$$run" ] || echo "$$(basename "$$run"):$${run%/}"; done | paste -sd, -); \
	[ -n "$$runs" ] || { echo "outputs/ holds no run yet: train one first, such as by make demo"; exit 1; }; \
	.venv/bin/tensorboard --logdir_spec "$$runs" --samples_per_plugin images=1000

clean: ## remove .venv and caches, never data or outputs
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
