# Two commands on a fresh machine: `make demo` (runtime only) and `make test` (everything).
PYTHON ?= python3
BIN = .venv/bin
SAMPLE = toolkit/shipped/sample.pcap

# Python keeps what it translated, also where the environment forbids it: every test session would
# rewrite all assertions again, and every process that a test starts translate the whole package.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick install-runtime install-all compile lint types tests test-nojit \
	test-boundscheck fuzz test-ort118 ship deb clean

demo: install-runtime
	$(BIN)/idskit detect -r $(SAMPLE) > .venv/incidents.ndjson
	@echo; echo "The first two lines, as your tools will read them (EVE NDJSON, all in .venv/incidents.ndjson):"
	@head -n 2 .venv/incidents.ndjson
	@echo; $(BIN)/idskit bench --quick

# For two processors: one compiles what has checked bounds and tests it, while the other one
# compiles the kernels once, for all tests, and then does what needs none; then both run the tests.
test: install-all lint
	$(MAKE) -j2 -O test-boundscheck compile types test-nojit TESTS="$(KERNEL_TESTS)"
	$(MAKE) tests

# While working: lint, types, and the tests of what changed since main.
quick: install-all lint types
	$(BIN)/python -m pytest -n 2 --dist worksteal -q $$($(BIN)/python -m tests.changed)

$(BIN)/python:
	$(PYTHON) -m venv .venv

# Installed again when something changed. Files keep the time at which their source changed, by
# which kernels and checked types are kept: only what changed is compiled and checked again.
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES = $(shell find toolkit export bench -type f -not -path '*/__pycache__/*')
define install
$(PIP) -c constraints.txt '.$(1)'
$(PIP) --no-deps --force-reinstall .
into=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/idskit; \
find toolkit export bench -name '*.py' | while read -r file; do \
	touch -r "$$file" "$$into/$${file#toolkit/}"; \
done; \
$(BIN)/python -m compileall -q "$$into"
touch $@
endef

install-runtime: .venv/runtime
.venv/runtime: pyproject.toml constraints.txt $(SOURCES) | $(BIN)/python
	$(call install)

install-all: .venv/all
.venv/all: pyproject.toml constraints.txt $(SOURCES) | $(BIN)/python
	$(call install,[dev])

compile:
	$(BIN)/idskit doctor --warm > .venv/doctor 2>&1 || { cat .venv/doctor; exit 1; }
	$(BIN)/idskit generate -o .venv/generated.pcap --packets 1000 > .venv/generated 2>&1
	$(BIN)/python -m tests.payload.parsers

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

tests:
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Once more as plain Python, on fewer examples, and once more with every index checked, compiled
# apart because numba's cache does not tell such kernels from others. `make test` does this for the
# tests that go through every kernel; by themselves both take all tests. Bytes with a fence exist
# as plain Python alone.
KERNEL_TESTS = $(patsubst %,tests/%.py,decode/test_decode capture/test_links flows/test_unbreakable \
	flows/test_table profiles/test_time profiles/test_gateway profiles/test_series \
	extract/test_csv_rows)
FENCED_TESTS = tests/payload/test_hostile.py
TESTS ?= tests
test-nojit:
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -p no:cacheprovider $(TESTS) $(FENCED_TESTS)

test-boundscheck:
	NUMBA_BOUNDSCHECK=1 NUMBA_OPT=1 NUMBA_CACHE_DIR=$(CURDIR)/.venv/boundscheck \
	$(BIN)/python -m pytest -p no:cacheprovider --timeout 1800 $(TESTS)

# Captures and frames made to break their readers, for as long as one likes.
MINUTES ?= 10
fuzz:
	$(BIN)/python -m tests.flows.fuzz --minutes $(MINUTES)

# Exported files in the oldest onnxruntime that is supported, in an environment of its own.
ORT118 = .venv/ort118/bin/python
test-ort118:
	test -x $(ORT118) || $(BIN)/python -m venv .venv/ort118
	$(ORT118) -m pip install --quiet --disable-pip-version-check 'onnxruntime==1.18.*' 'numpy<2'
	IDSKIT_ORT118_PYTHON=$(abspath $(ORT118)) $(BIN)/python -m pytest -v -p no:cacheprovider \
	tests/export/test_older_runtime.py

# Rebuild the shipped model and sample from public captures and from the lab, which needs root:
# make ship DATA=../shared/data/pcap LAB=lab
DATA ?= ../shared/data/pcap
LAB ?= lab
ship: install-all
	test -d $(LAB) || for seed in 0 1; do \
		$(BIN)/idskit lab -o $(LAB) --link lan --link wan --link lte --seed $$seed || exit 1; done
	$(BIN)/idskit train captures --data $(DATA)/labelled --data $(DATA)/wild --data $(DATA)/tools \
		--data $(LAB) --labels family --threads 1 --seed 1 -o runs/shipped
	$(BIN)/idskit export runs/shipped --quantize int8 --target x86-64 -o toolkit/shipped/ids.int8.onnx
	$(BIN)/idskit generate -o $(SAMPLE) --packets 3600 --mix home --seed 1

# A Debian package for a gateway, with its own wheels: make deb ARCH=arm64
ARCH ?= amd64
deb: install-all
	toolkit/gateway/packaging/make_deb $(ARCH)

clean:
	rm -rf .venv build *.egg-info
