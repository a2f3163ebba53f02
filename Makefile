# SPDX-License-Identifier: GPL-2.0-or-later
# make demo   a three-node cluster on this machine, without root
# make test   everything that proves the program, in about ten minutes
# make help   the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEDS ?= 1000
EXAMPLES ?= 100000
PORT ?= 8377
CASES ?= ../shared/conformance
HA_LAB ?= ../shared/lab
MINUTES ?= 5
PREFIX ?= /usr/local

.DEFAULT_GOAL := help
.PHONY: help setup demo check test sim lab shells bench conformance fuzz chaos install clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY) ## make .venv with every command in .venv/bin

$(READY): pyproject.toml .ci/setup
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh .ci/setup
	@touch $@

demo: setup ## run three nodes, a web page that survives the loss of its node
	@$(BIN)/ha playground demo --port $(PORT)

check: setup ## the fast loop: style, types, layers, unit tests, scenarios (under two minutes)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest tests/architecture tests/unit tests/scenarios

test: setup ## all tests, with a swarm of 200 seeds
	$(BIN)/python -m pytest tests/architecture tests/unit tests/property tests/fuzz tests/scenarios tests/conformance
	$(BIN)/python -m pytest -m 'not lab and not slow' tests/sim tests/real

sim: setup ## a swarm of simulated clusters: make sim SEEDS=5000
	$(BIN)/python -m ha.sim swarm --seeds 1..$(SEEDS) --jobs 2

lab: setup ## as root: beside a real Heartbeat 3.0.6, on hosts in network namespaces (skipped where they cannot be had)
	$(BIN)/python -m pytest -m lab tests/real

shells: setup ## crmsh and pcs, where they are installed, through the whole life of a cluster (minutes)
	$(BIN)/python -m pytest -m slow tests/real

bench: setup ## print the figures of tests/bench
	$(BIN)/python -m tests.bench

conformance: setup ## the scheduler against Pacemaker's cases: make conformance CASES=DIR
	@if [ -d "$(CASES)" ]; then $(BIN)/python -m tests.conformance.run $(CASES); \
	else echo "conformance: there are no cases at $(CASES): skipped"; fi

fuzz: setup ## spoilt input for every parser: make fuzz EXAMPLES=1000000
	$(BIN)/python -m tests.fuzz --examples $(EXAMPLES)

chaos: setup ## kill, freeze and cut for a while: lab hosts with fencing (root, HA_LAB), else a playground: make chaos MINUTES=30
	@if [ "$$(id -u)" = 0 ] && [ -f "$(HA_LAB)/lab.py" ]; then HA_LAB='$(HA_LAB)' $(BIN)/python -m tests.real.lab_chaos --minutes $(MINUTES); \
	else $(BIN)/python -m tests.real.chaos --minutes $(MINUTES); fi

install: ## on a real node, as root: program to PREFIX/lib/ha, commands to PREFIX/sbin, unit, script, agents, stanzas
	@PYTHON='$(PYTHON)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' sh init/install

clean: ## forget the virtual environment and what the tools cached
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
