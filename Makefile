# Everything a person does here, by name. A bare `make` lists the targets.
# Needs python3 (>= 3.11), make and a C compiler; uv comes by itself into .tools/, the environment into .venv/.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
RECSYS := .venv/bin/recsys
PORT ?= 8080
SOAK_MINUTES ?= 60
QUESTION := a light jacket for rainy hikes

export UV_PYTHON_DOWNLOADS := never
export ORT_DISABLE_TELEMETRY := 1
# Hundreds of processes start in the tests: without bytecode on disk each compiles what it imports, for seconds.
unexport PYTHONDONTWRITEBYTECODE

PYPROJECTS := pyproject.toml gateway/pyproject.toml operator/pyproject.toml finetune/pyproject.toml
INSTALL := VIRTUAL_ENV=.venv $(UV) pip install --quiet --constraint requirements.lock

# These tests often wait for processes, so three workers keep two cores busy. What takes longest begins: tests/cluster.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help up check test lint types unit training golden integration cluster cluster-tools soak bench bench-modes bench-serving images docs samples dev lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: .venv/run.installed ## install, start everything, ask one question, serve until Ctrl-C (PORT=8080)
	@$(RECSYS) up --port $(PORT) --ask "$(QUESTION)" --user 17

check: lint ## lint, types and unit tests; under 2 minutes
	@$(MAKE) --no-print-directory --jobs 2 types unit

test: lint ## all that CI runs
	@$(MAKE) --no-print-directory --jobs 3 types unit training
	@$(MAKE) --no-print-directory integration

lint: .venv/dev.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports

types: .venv/dev.installed
	.venv/bin/mypy -p recsys_gateway -p recsys_operator -p recsys_finetune

unit: .venv/dev.installed
	.venv/bin/pytest -q -n 2 tests/unit

golden: .venv/dev.installed ## write tests/golden anew from the builders; read the diff before you commit it
	RECSYS_UPDATE_GOLDEN=1 .venv/bin/pytest -q tests/unit/components

training: .venv/dev.installed ## tests of what needs torch, which takes seconds to import
	.venv/bin/pytest -q tests/training

integration: .venv/dev.installed cluster-tools
	.venv/bin/pytest -q $(SIDE_BY_SIDE) tests/cluster tests/e2e tests/browser tests/integration

cluster: .venv/run.installed ## a Kubernetes control plane to play with, until Ctrl-C; prints its KUBECONFIG
	@PYTHONPATH=tests/cluster .venv/bin/python -m controlplane

cluster-tools: .venv/run.installed ## build that control plane's programs, where they are not cached (once, 8 minutes and more)
	@PYTHONPATH=tests/cluster .venv/bin/python -m controlplane --build-only

bench: .venv/dev.installed ## time the pipeline by stage, and the pass-through beside a bare relay
	.venv/bin/pytest -q -s tests/bench

bench-modes: .venv/dev.installed ## tokens and quality of the three ranking modes on the sample shop, one table
	.venv/bin/pytest -q -s tests/bench/test_ranking_modes.py

bench-serving: .venv/dev.installed ## the gateway beside nginx and haproxy (where installed); about an hour
	cd tests && ../.venv/bin/python -m bench.serving --simulated

soak: .venv/dev.installed cluster-tools ## an hour of trouble before the gateway, an hour of questions, a simulated day, kills
	cd tests && ../.venv/bin/python -m bench.serving.soak --minutes $(SOAK_MINUTES)
	PYTHONPATH=tests .venv/bin/python tests/bench/soak.py --minutes $(SOAK_MINUTES)
	cd tests && ../.venv/bin/python -m simulation.day
	.venv/bin/pytest -q -s --soak tests/cluster/own_control_plane tests/cluster/test_operator_drift.py
	RECSYS_KILLS=20 .venv/bin/pytest -q -s tests/e2e/test_killed_system.py

images: ## build the images of gateway and operator (needs a Docker engine)
	docker build --file gateway/Dockerfile --tag recsys/gateway:0.1.0 .
	docker build --file operator/Dockerfile --tag recsys/operator:0.1.0 .

docs: .venv/dev.installed ## generate the references and build the site into site/
	.venv/bin/python docs/generate_references.py
	.venv/bin/mkdocs build --strict --quiet

samples: .venv/dev.installed ## make the sample shop and the sample models anew (about an hour on 2 cores)
	$(RECSYS) samples shop
	$(RECSYS) samples embedder
	$(RECSYS) samples tuned --mode ToolCall --out .recsys/tool-call
	$(RECSYS) samples tuned --minutes 13 --from .recsys/tool-call/tuned.gguf
	$(RECSYS) samples base

dev: .venv/dev.installed ## install everything, fine-tuning with torch included

lock: $(UV) ## resolve anew and write requirements.lock (universal, hashed, without index addresses)
	$(UV) lock --quiet --upgrade
	$(UV) export --quiet --all-packages --all-extras --all-groups --no-emit-workspace --no-header --no-annotate \
	  --output-file requirements.lock

clean: ## remove the environment, the tools and what the tests leave
	rm -rf .venv .tools .recsys site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(UV):
	@echo "installing uv $(UV_VERSION) into .tools/"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "recsys needs Python 3.11 or newer: make PYTHON=python3.12 up"; exit 1; }
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/bin/python: | $(UV)
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv

# What `recsys up` needs, and nothing more: no torch.
.venv/run.installed: requirements.lock $(PYPROJECTS) | .venv/bin/python
	@echo "installing recsys into .venv/ (about 250 MB to download, once)"
	@$(INSTALL) --editable 'gateway[serve]' --editable 'operator[local]'
	@touch $@

.venv/dev.installed: requirements.lock $(PYPROJECTS) | .venv/bin/python
	@echo "installing recsys and its tools into .venv/ (about 3 GB with torch, once)"
	@$(INSTALL) --editable 'gateway[serve]' --editable 'operator[cluster,local]' --editable finetune --group dev --group docs
	@touch $@ .venv/run.installed
