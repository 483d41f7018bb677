# Every target does its own set-up: git, make and Python 3.11+ with its venv module are enough.
PYTHON ?= python3
UV ?= $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
ARGS ?=
ONLY ?=
export UV_PYTHON_DOWNLOADS = never

.PHONY: help demo test check bench docs clean

help:
	@echo "make demo [ARGS=--once]   run the whole way of the data with sample mail"
	@echo "make test [ARGS=...]      run the tests (ARGS go to pytest)"
	@echo "make check                lint, types, architecture and documentation tests"
	@echo "make bench [ONLY=name]    measure beside named peers; writes bench/results/latest.json"
	@echo "make docs                 write the pages and files that are generated from the code"
	@echo "make clean                remove what the other targets made"

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/ready: pyproject.toml uv.lock $(filter .uv/bin/uv,$(UV))
	$(UV) sync --quiet --locked --python $(PYTHON)
	@# Where Python may not write bytecode, each process of the tests would compile everything anew: 4 s of 5.
	@# msgraph has ten thousand modules, of which one test loads some.
	-.venv/bin/python -m compileall -q -j 0 -x '/msgraph/' .venv/lib src
	@touch $@

demo: .venv/ready
	.venv/bin/satchel demo $(ARGS)

test: .venv/ready
	@# More than there are cores: most of the tests with processes wait.
	.venv/bin/pytest -n 6 --dist worksteal $(ARGS)

check: .venv/ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest -q tests/architecture

bench: .venv/ready
	.venv/bin/python -m bench $(ONLY)

docs: .venv/ready
	.venv/bin/python -m tests.architecture.generated

clean:
	rm -rf .venv .uv .pytest_cache .ruff_cache .mypy_cache .hypothesis dist bench/results bench/work
