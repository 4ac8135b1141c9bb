# `make lab` opens the course, `make test` tests it. Each target does its own set-up, which is at once when nothing changed.
#
#   PYTHON=python3.12 make lab       use this Python
#   make setup TORCH_BACKEND=cpu     PyTorch without CUDA (Linux; default: as the machine has a GPU or not)
#   make lab LAB="--no-browser"      more arguments for JupyterLab
#   make test TEST="tests/test_cli.py -x"   more arguments for pytest

PYTHON ?=
TORCH_BACKEND ?=
LAB ?=
TEST ?=

RUN := .venv/bin/python
SETUP = @command -v "$(or $(PYTHON),python3)" >/dev/null || { \
	echo "There is no $(or $(PYTHON),python3) here. Install Python 3.10 or newer, or name yours: PYTHON=/path/to/python make $@" >&2; exit 1; }; \
	"$(or $(PYTHON),python3)" scripts/setup.py $(if $(PYTHON),--chosen-python) $(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND))

# The oldest PyTorch that the course is for, in an environment of its own.
OLD := build/old-torch
OLD_TORCH := "torch==2.4.*" "torchvision==0.19.*"

.PHONY: lab test test-all test-old-torch setup setup-dev book course solutions notebooks lint help
.DEFAULT_GOAL := help

help:
	@echo "make lab        open the course in JupyterLab (your copies are in work/)"
	@echo "make test       run the tests, without the network"
	@echo "make test-all   those that are slow by nature as well, then again with the oldest PyTorch"
	@echo "make setup      only install"
	@echo "make solutions  run every solution notebook and save it with its figures, then make notebooks"
	@echo "make book       write the solutions as one site, build/book/index.html"
	@echo "make course     run every solution notebook first, and write build/course/index.html"
	@echo "make notebooks  write notebooks/ from solutions/"
	@echo "make lint       check the code's style, the spelling, the workflows and the notebooks"

lab:
	$(SETUP) --extra lab --quiet
	@$(RUN) -m vit_course.cli lab $(LAB)

setup:
	$(SETUP) --extra lab

setup-dev:
	$(SETUP) --extra dev

test:
	$(SETUP) --extra dev --quiet
	VIT_COURSE_OFFLINE=1 $(RUN) -m pytest -n auto --maxprocesses 4 $(TEST)

test-all:
	$(SETUP) --extra dev --quiet
	VIT_COURSE_OFFLINE=1 $(RUN) -m pytest -n auto --maxprocesses 4 -m "" $(TEST)
	$(MAKE) test-old-torch

test-old-torch:
	$(SETUP) --extra dev --quiet
	test -x $(OLD)/bin/python || $(RUN) -m uv venv --quiet --python $(RUN) $(OLD)
	$(RUN) -m uv pip install --quiet --python $(OLD)/bin/python -e ".[dev]" $(OLD_TORCH)
	VIT_COURSE_OFFLINE=1 $(OLD)/bin/python -m pytest -n auto --maxprocesses 4 $(TEST)

solutions:
	$(SETUP) --extra dev --quiet
	$(RUN) -m vit_course.authoring execute
	$(RUN) -m vit_course.authoring notebooks

book:
	$(SETUP) --extra dev --quiet
	@$(RUN) -m vit_course.cli book

course:
	$(SETUP) --extra dev --quiet
	@$(RUN) -m vit_course.cli course

notebooks:
	$(SETUP) --extra dev --quiet
	$(RUN) -m vit_course.authoring notebooks

lint:
	$(SETUP) --extra dev --quiet
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m codespell_lib -L pinter README.md CONTRIBUTING.md CHANGELOG.md benchmarks docs notebooks scripts vit_course
	$(RUN) -m check_jsonschema --quiet --builtin-schema vendor.github-workflows $(wildcard .github/workflows/*.yml)
	$(dir $(RUN))zizmor --offline --quiet .github
	$(RUN) -m vit_course.authoring lint
