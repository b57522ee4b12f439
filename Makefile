# Needs Python 3.11 or later with pip or venv, and nothing else: `make up` brings its own PostgreSQL
# and Redis. Another Python: make up PY=python3.13. Some tests: make test PYTEST_ARGS="tests/config -x".

PY ?= python3
# All tests: several files at a time, each process of pytest with servers of its own.
PYTEST_ARGS ?= --numprocesses auto --dist loadfile --no-loadscope-reorder
PYTHON := .venv/bin/python
# What the engine needs, by the setting VENUES.
INSTALLED := $(if $(filter solana,$(VENUES)),.venv/solana,.venv/runtime)
# The locks are complete, so pip need not look for dependencies; what is never imported needs no
# bytecode: together a third of the time.
INSTALL := install --quiet --quiet --disable-pip-version-check --no-input --no-compile --no-deps \
	--require-hashes --only-binary :all:
LOCK := .venv/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header $(LOCK_ARGS)

.PHONY: help up demo worker format check test chaos abuse triggers \
	bench bench-against bench-wire bench-steady bench-page picture drawings lock clean
.DELETE_ON_ERROR:

help:
	@echo "make up      run the engine (API, worker, scheduler, PostgreSQL, Redis); Ctrl-C stops it"
	@echo "make demo    show five market orders, a limit that rests a little, a stop that is cancelled"
	@echo "make worker  one more worker for the engine that runs"
	@echo "make check   format, lint, types, what may import what: seconds"
	@echo "make format  have the code formatted, and mended where that is sure"
	@echo "make test    make check, migrations, tests"
	@echo "make chaos   break a running engine for 90 seconds (SEED=7 CHAOS_ARGS=--help)"
	@echo "make abuse   attack a running engine beside honest clients, three minutes (SEED=7 ABUSE_ARGS=--help)"
	@echo "make triggers    an hour of prices beside a plain model, in fast time (SEED=7 TRIGGERS_ARGS=--help)"
	@echo "make bench   measure (BENCH_ARGS=\"a b\"); beside another commit: make bench-against COMMIT=HEAD~3"
	@echo "make bench-wire    measure any engine over the wire (ENGINE_URL=http://... BENCH_ARGS=--help)"
	@echo "make bench-steady  5,000 orders in flight for five minutes (SECONDS=300): memory, latency"
	@echo "make bench-page  leave the trading page open for half an hour (MINUTES=30): memory, frames"
	@echo "make picture take the picture of the trading page anew (needs Chromium)"
	@echo "make drawings    draw the pictures of the order types anew"
	@echo "make lock    write the lock files anew (LOCK_ARGS=--upgrade for newer versions)"
	@echo "make clean   remove everything that these made, the stored orders too"

up: $(INSTALLED)
	@$(PYTHON) -m config.stack up

demo: $(INSTALLED)
	@$(PYTHON) -m config.stack demo

worker: $(INSTALLED)
	@$(PYTHON) -m config.stack worker

format: .venv/development
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

check: .venv/development
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	PYTHONPATH=client $(PYTHON) -c "from importlinter.cli import lint_imports_command as lint; lint()"

test: check
	$(PYTHON) -m config.stack run --temporary -- sh -e -c '\
		"$$0" manage.py makemigrations --check --dry-run; \
		"$$0" manage.py check; \
		exec "$$0" -m pytest "$$@"' $(PYTHON) $(PYTEST_ARGS)

# The same seed does the same faults at the same times. Servers and processes are the run's own.
chaos: .venv/development
	@$(PYTHON) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

# The engine of triggers beside a plain model, in fast time; servers and processes are killed.
triggers: .venv/development
	@$(PYTHON) -m tests.triggers $(if $(SEED),--seed $(SEED)) $(TRIGGERS_ARGS)

# One hostile stranger beside honest clients, on an engine alone and behind nginx, if that is here.
abuse: .venv/development
	@$(PYTHON) -m tests.abuse $(if $(SEED),--seed $(SEED)) $(ABUSE_ARGS)

bench: .venv/development
	@$(PYTHON) -m config.stack run --temporary --durable -- $(PYTHON) -m tests.bench $(BENCH_ARGS)

# This folder beside another commit, in turns; what both do is driven over the wire.
bench-against: .venv/development
	@$(PYTHON) -m tests.bench.against $(COMMIT) $(BENCH_ARGS)

# Ours on servers of its own, or with ENGINE_URL any other that runs.
bench-wire: .venv/development
	@$(PYTHON) -m tests.bench.wire $(if $(ENGINE_URL),--url $(ENGINE_URL)) $(BENCH_ARGS)

bench-steady: .venv/development
	@$(PYTHON) -m tests.bench.steady $(if $(SECONDS),--seconds $(SECONDS)) $(BENCH_ARGS)

# The trading page, open while 20 orders a minute come: frames, memory, and whether it misses any.
bench-page: .venv/development
	@$(PYTHON) -m config.stack run --temporary -- $(PYTHON) -m tests.browser left-open $(if $(MINUTES),--minutes $(MINUTES))

picture: .venv/development
	@$(PYTHON) -m config.stack run --temporary -- $(PYTHON) -m tests.browser

drawings: .venv/development
	@$(PYTHON) -m tests.docs.draw_order_types

lock: .venv/uv/bin/uv
	$(LOCK) --extra embedded pyproject.toml -o requirements.lock
	$(LOCK) --extra embedded --extra dev --extra solana -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(LOCK) --extra embedded --extra solana -c requirements.lock pyproject.toml -o requirements-solana.lock

clean:
	@"$(PY)" -m config.stack.clean
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip of the system serves our environment, too: making one of its own takes seconds, and Debian
# has it only with python3-venv. A pip older than 22.3 cannot; then we do make one. What to say comes
# first, then pip's arguments.
without_venv = { echo "$(PY) has no pip and no venv. Debian, Ubuntu: \
apt install $(notdir $(PY))-venv" >&2; exit 1; }
define pip
@if "$(PY)" -m pip --python $(PYTHON) --version >/dev/null 2>&1; \
then set -- "$(PY)" -m pip --python $(PYTHON); \
elif "$(PY)" -m venv .venv >/dev/null 2>&1; then set -- $(PYTHON) -m pip; \
else $(without_venv); fi; \
echo "$(1)"; "$$@" $(2)
endef

.venv/bin/python:
	@"$(PY)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "This needs Python 3.11 or newer, and $(PY) is not; try: make PY=python3.13" >&2; exit 1; }
	@"$(PY)" -c 'import venv' 2>/dev/null || $(without_venv)
	@rm -rf .venv
	@"$(PY)" -m venv --without-pip .venv

.venv/runtime: requirements.lock | .venv/bin/python
	$(call pip,Installing what the engine needs (once: a minute and 250 MB),$(INSTALL) -r requirements.lock)
	@touch $@

.venv/solana: requirements-solana.lock | .venv/runtime
	$(call pip,Installing what real transactions need (once: 20 MB),$(INSTALL) -r requirements-solana.lock)
	@touch $@

.venv/development: requirements-dev.lock | .venv/bin/python
	$(call pip,Installing what the tests need (once: a minute and 500 MB),$(INSTALL) -r requirements-dev.lock)
	@touch .venv/runtime .venv/solana $@

.venv/uv/bin/uv: | .venv/bin/python
	$(call pip,Installing uv,install --quiet --disable-pip-version-check --target .venv/uv uv)
