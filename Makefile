# `make lab` opens the course, `make test` tests it. Each target does its own set-up, which is at once when nothing changed.
#
#   PYTHON=python3.12 make lab       use this Python
#   make setup TORCH_BACKEND=cpu     PyTorch without CUDA: a smaller download (Linux)
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

.PHONY: lab test setup course notebooks lint help
.DEFAULT_GOAL := help

help:
	@echo "make lab        open the course in JupyterLab (your copies are in work/)"
	@echo "make test       run every test, without the network"
	@echo "make setup      only install"
	@echo "make course     run every solution notebook and write build/course/index.html"
	@echo "make notebooks  write notebooks/ from solutions/"
	@echo "make lint       check the code's style and the notebooks"

lab:
	$(SETUP) --extra lab --quiet
	@$(RUN) -m vit_course.cli lab $(LAB)

setup:
	$(SETUP) --extra lab

test:
	$(SETUP) --extra dev --quiet
	VIT_COURSE_OFFLINE=1 $(RUN) -m pytest -n auto --maxprocesses 4 $(TEST)

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
	$(RUN) -m vit_course.authoring lint
