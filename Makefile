# Every target sets up what it needs in .venv; `make test` and `make demo` work on a fresh checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

.PHONY: demo test test-long test-tensorrt lint model clean

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py $(DEMO)
	$(BIN)/python -m runtime certify $(DEMO)/astronaut.png --json $(DEMO)/astronaut-png.json
	$(BIN)/python -m runtime certify $(DEMO)/astronaut.mp4 --samples 101 --json $(DEMO)/astronaut-mp4.json

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest

test-long: $(VENV)/test.stamp
	$(BIN)/python -m pytest -m long

# Compiles engines with TensorRT-RTX, which takes no GPU but wheels of 95 MB: not part of `make test`.
test-tensorrt: $(VENV)/tensorrt.stamp
	$(BIN)/python -m pytest tests/export/test_export_tensorrt.py tests/runtime/test_engines.py

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Rebuild the bundle that ships from the committed weights.
model: $(VENV)/test.stamp
	$(BIN)/python -m export build --out runtime/models/default

clean:
	rm -rf $(VENV) build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,video]' scikit-image
	touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,video,export,train,benchmark,test]'
	touch $@

$(VENV)/tensorrt.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[rtx]'
	touch $@
