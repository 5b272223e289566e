# `make train` and `make test` are all it takes: each makes the virtual environment it needs first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEER := $(VENV)/ap-gym
ZOO := $(VENV)/rl-zoo3
TORCHRL := $(VENV)/torchrl
TIANSHOU := $(VENV)/tianshou
RLLIB := $(VENV)/rllib
COMMA := ,

.PHONY: train test test-slow test-examples lint format bench clean

train: $(READY)  ## train the Recurrent Attention Model on MNIST, test it, draw it
	$(BIN)/ram train

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-examples: $(READY) $(TORCHRL)/.ready $(TIANSHOU)/.ready $(RLLIB)/.ready $(ZOO)/.ready  ## every example learns, and says so; RL Zoo takes the file
	$(BIN)/python examples/custom_agent.py
	$(BIN)/python examples/sb3_ppo.py
	$(BIN)/python examples/cleanrl_ppo_lstm.py
	$(TORCHRL)/bin/python -W ignore examples/torchrl_ppo.py
	$(TIANSHOU)/bin/python examples/tianshou_ppo.py
	$(RLLIB)/bin/python -W ignore examples/rllib_ppo.py
	$(ZOO)/bin/python -m rl_zoo3.train --algo ppo_lstm --env ram_env/MNIST-v0 \
		--gym-packages ram_env --conf-file examples/ppo_lstm.yml --n-timesteps 10000 \
		--eval-freq -1 --log-folder "$$(mktemp -d)"

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

# Libraries whose needs clash with our constraints have environments of their own, with the same torch.
define own_environment
$(VENV)/$(1)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)/$(1)
	$(VENV)/$(1)/bin/python -m pip install --quiet "$$$$(grep ^torch== constraints.txt)" \
		--editable "$(2)" "$(3)"
	touch $$@
endef
$(eval $(call own_environment,rl-zoo3,.[agents$(COMMA)sb3],rl_zoo3==2.9.2))
$(eval $(call own_environment,torchrl,.[agents],torchrl==0.14.1))
# Tianshou wants an older virtualenv than our constraints have.
$(eval $(call own_environment,tianshou,.[agents],tianshou==2.0.1))
# RLlib pins Gymnasium 1.2.2, the oldest we take.
$(eval $(call own_environment,rllib,.[agents],ray[rllib]==2.60.0))

clean:
	rm -rf $(VENV) build *.egg-info
