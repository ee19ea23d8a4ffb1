# Two commands on a fresh machine: `make demo` (runtime only) and `make test` (everything).
PYTHON ?= python3
BIN = .venv/bin
SAMPLE = toolkit/shipped/sample.pcap

.PHONY: demo test install-runtime install-all lint types tests ship clean

demo: install-runtime
	$(BIN)/idskit detect -r $(SAMPLE) > .venv/alerts.ndjson
	@echo; echo "Three of the alerts, as your tools will read them (EVE NDJSON, all in .venv/alerts.ndjson):"
	@head -n 3 .venv/alerts.ndjson
	@echo; $(BIN)/idskit bench --quick

test: install-all lint types tests

$(BIN)/python:
	$(PYTHON) -m venv .venv

install-runtime: $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .

install-all: $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

tests:
	$(BIN)/python -m pytest

# Rebuild the shipped model and sample from the labelled captures: make ship DATA=../shared/data/pcap/labelled
DATA ?= ../shared/data/pcap/labelled
ship: install-all
	$(BIN)/idskit train captures --data $(DATA) --labels family --threads 1 -o runs/shipped
	$(BIN)/idskit export runs/shipped --quantize int8 --target x86-64 -o toolkit/shipped/ids.int8.onnx
	$(BIN)/idskit generate -o $(SAMPLE) --packets 3600 --mix home --seed 1

clean:
	rm -rf .venv build *.egg-info
