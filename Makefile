# `make train` and `make test` are all it takes: each makes the virtual environment it needs first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEER := $(VENV)/ap-gym

.PHONY: train test test-slow lint format bench clean

train: $(READY)  ## train the Recurrent Attention Model on MNIST, test it, draw it
	$(BIN)/ram train

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) $(PEER)/.ready  ## how fast it is here, beside ap-gym
	$(BIN)/python -m experiments.speed --ap-gym-python $(PEER)/bin/python

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

# ap-gym needs pillow and aiohttp without saying so.
$(PEER)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --constraint constraints.txt --editable . \
		ap-gym==0.7.1 pillow aiohttp
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
