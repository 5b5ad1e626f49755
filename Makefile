# Every target sets up what it needs in .venv; `make test` and `make demo` work on a fresh checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
# What the package is installed from: again when one of them changes.
SETUP := pyproject.toml setup.py runtime/noise/_noise.c constraints.txt

# A machine with a GPU has an environment of its own: onnxruntime and onnxruntime-gpu install the same module.
GPU_VENV := .venv-gpu
GPU_BIN := $(GPU_VENV)/bin
GPU_BUNDLE := build/gpu
HAS_GPU := import ctypes; raise SystemExit(ctypes.CDLL("libcuda.so.1").cuInit(0))

.PHONY: demo formats hashes sbom test-lowest corpus torture fuzz test test-long test-tensorrt test-pycuda gpu-check lint model single levels tiles tile-model clean

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py $(DEMO)
	$(BIN)/python -m runtime certify $(DEMO)/astronaut.png --json $(DEMO)/astronaut-png.json
	$(BIN)/python -m runtime certify $(DEMO)/astronaut.mp4 --samples 101 --json $(DEMO)/astronaut-mp4.json

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-long: $(VENV)/test.stamp
	$(BIN)/python -m pytest -m long

# Damage, hostile input, load and properties: seeded, two minutes on two cores. Writes docs/reliability.md.
# `make test` runs its short form.
torture: $(VENV)/test.stamp
	BIQA_EXAMPLES=300 $(BIN)/python -m tests.torture --write

# Coverage-guided fuzzing of the readers, SECONDS for each.
SECONDS ?= 60
fuzz: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# Compiles engines with TensorRT-RTX, which takes no GPU but wheels of 95 MB: not part of `make test`.
test-tensorrt: $(VENV)/tensorrt.stamp
	$(BIN)/python -m pytest tests/export/engines/test_tensorrt.py tests/runtime/bundle/test_plans.py

# Runs the sampler on PyCUDA itself, built from source on a stand-in for libcuda: minutes, not part of `make test`.
test-pycuda: $(VENV)/pycuda.stamp
	$(BIN)/python -m pytest tests/runtime/samplers/gpu/test_pycuda.py

# What takes an NVIDIA GPU: installs what is missing, builds, runs every GPU test and both benchmarks, writes their results.
# An engine that cannot be compiled here is named and left out; its tests skip.
# Without network, WHEELS=FOLDER takes packages from there and from what this machine's own Python has.
gpu-check:
	@$(PYTHON) -c '$(HAS_GPU)' 2>/dev/null || \
	  { echo "error: make gpu-check takes an NVIDIA GPU and its driver, and finds none; nothing was installed" >&2; exit 1; }
	$(if $(WHEELS),@$(PYTHON) .ci/offline $(WHEELS) > /dev/null)
	$(MAKE) $(GPU_VENV)/gpu.stamp
	$(GPU_BIN)/python -m export build $(FAMILY) --fp16 --target cuda --out $(GPU_BUNDLE)
	-$(GPU_BIN)/python -m export compile $(GPU_BUNDLE) --target tensorrt
	-$(GPU_BIN)/python -m export compile $(GPU_BUNDLE) --target tensorrt-rtx
	$(GPU_BIN)/python -m runtime doctor --all --model $(GPU_BUNDLE)
	GPU_BUNDLE=$(GPU_BUNDLE) $(GPU_BIN)/python -m pytest -m gpu -rs
	results=benchmarks/results/$$($(GPU_BIN)/python \
	  -c 'from runtime.samplers.gpu.nvidia import find_gpus; print(find_gpus()[0].name.lower().replace(" ", "-"))') && \
	  $(GPU_BIN)/python -m benchmarks.gpu_noise --model $(GPU_BUNDLE) --json $$results-noise.json && \
	  $(GPU_BIN)/python -m benchmarks.latency --model $(GPU_BUNDLE) --device cuda --json $$results-latency.json

# docs/formats.md is printed from the table that decides which files are taken.
formats: $(VENV)/test.stamp
	$(BIN)/python -c 'from runtime.files.formats import page; print(page(), end="")' > docs/formats.md

# Reads every file below FOLDER, and compares with a second decoder (OpenCV for pictures, ffprobe for clips).
corpus: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[corpus]'
	$(BIN)/python -m tests.corpus $(FOLDER)

# docs/hashes.md: after any change of a file that ships.
hashes: $(VENV)/test.stamp
	$(BIN)/python -c 'from tests.support.shipped import page; print(page(), end="")' > docs/hashes.md

# The wheel and its bill of materials (CycloneDX), in build/sbom.
sbom: $(VENV)/test.stamp
	.ci/sbom $(BIN)/python

# The tests of runtime with the lowest versions that pyproject.toml allows.
test-lowest: $(VENV)/test.stamp
	.ci/lowest $(BIN)/python

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Rebuild the bundle that ships from the committed weights: five noise levels, in some two minutes.
FAMILY := --family training/weights/levels.safetensors

model: $(VENV)/test.stamp
	$(BIN)/python -m export build $(FAMILY) --int8 --out runtime/models/default

# The default before there were noise levels, for its old records.
single: $(VENV)/test.stamp
	$(BIN)/python -m export build --int8 --out runtime/models/single

# Train the family of noise levels from the shipped pair, and say what each level is worth. Goes on where it was stopped.
# On two idle cores: some 5 minutes for pictures and ladders, 40 for the training, 60 for the figures.
# DATA holds biq2021/ (scores.csv, images/) and backbones/.
DATA ?= data
LEVELS := build/levels
BIQ2021 = --scores $(DATA)/biq2021/scores.csv --images $(DATA)/biq2021/images \
  --backbone $(DATA)/backbones/mobilenet_v1_050.npz --cache build/training-cache

levels: $(VENV)/test.stamp
	$(BIN)/python -m training.recipes.levels train $(BIQ2021) --autocast --threads 1 --out $(LEVELS)
	$(BIN)/python -m training.recipes.levels pairs --out $(LEVELS)
	$(BIN)/python -m training.evaluation.levels $(BIQ2021) --family $(LEVELS)/levels.safetensors --measured 20 \
	  --ladders 24 --json $(LEVELS)/evaluation.json

# Train the tile model that ships: from the pair of 0.25 of the family, on corners of photographs, then on whole ones, where
# every tile has a say in the score, then on twice as many with half of their tiles, then on squares that lie anywhere,
# beside a judge of whole ones. Goes on where it was stopped. Idle, some 5 minutes for pictures and ladders, two hours on a
# core and one on two for the training, 10 minutes for the figures.
TILES := build/tiles
OF_TILES := --sigmas 0.25 --turns --tile 64 --autocast --threads 1

tiles: $(VENV)/test.stamp
	mkdir -p $(TILES)/start
	cp training/weights/levels.safetensors $(TILES)/start
	$(BIN)/python -m training.recipes.levels pairs --out $(TILES)/start
	$(BIN)/python -m training.recipes.levels train $(BIQ2021) $(OF_TILES) --steps 600 --spread 8 --out $(TILES)/first \
	  --start-metric $(TILES)/start/metric_0.25.safetensors --start-denoiser $(TILES)/start/denoiser_0.25.safetensors
	$(BIN)/python -m training.recipes.levels pairs --out $(TILES)/first
	$(BIN)/python -m training.recipes.levels train $(BIQ2021) $(OF_TILES) --steps 700 --spread 12 --crop 256 --batch 10 \
	  --ladders 1 --out $(TILES)/then --start-metric $(TILES)/first/metric_0.25.safetensors \
	  --start-denoiser $(TILES)/first/denoiser_0.25.safetensors
	$(BIN)/python -m training.recipes.levels pairs --out $(TILES)/then
	$(BIN)/python -m training.recipes.levels train $(BIQ2021) $(OF_TILES) --steps 2400 --spread 9 --crop 256 --batch 20 \
	  --seen 8 --ladders 1 --out $(TILES)/last --start-metric $(TILES)/then/metric_0.25.safetensors \
	  --start-denoiser $(TILES)/then/denoiser_0.25.safetensors
	$(BIN)/python -m training.recipes.levels pairs --out $(TILES)/last
	$(BIN)/python -m training.recipes.levels train $(BIQ2021) $(OF_TILES) --steps 2600 --spread 9 --crop 192 --batch 20 \
	  --seen 8 --ladders 1 --threads 2 --judge training/weights/levels.safetensors --out $(TILES)/judged \
	  --start-metric $(TILES)/last/metric_0.25.safetensors --start-denoiser $(TILES)/last/denoiser_0.25.safetensors
	$(BIN)/python -m training.recipes.levels pairs --out $(TILES)/judged
	for rows in fold val; do $(BIN)/python -m training.evaluation.tiles $(BIQ2021) --rows $$rows --tiles 64 \
	  --aggregate mean trimmed_mean median \
	  --pairs 0.25=$(TILES)/judged/metric_0.25.safetensors,$(TILES)/judged/denoiser_0.25.safetensors; done

# Rebuild the bundle of tiles that ships from the committed weights.
tile-model: $(VENV)/test.stamp
	$(BIN)/python -m export build --metric mobilenet_v1_050_tiles --sigma 0.25 --tile 64 --half-weights --epsilon 0.5 --name tiles \
	  --out runtime/models/tiles

clean:
	rm -rf $(VENV) $(GPU_VENV) build runtime/noise/_noise*.so

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,video]' scikit-image
	touch $@

$(VENV)/test.stamp: $(BIN)/python $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,video,export,train,benchmark,test]'
	touch $@

$(VENV)/tensorrt.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[rtx]'
	touch $@

STAND_IN := $(abspath build/libcuda.so.1)

$(VENV)/pycuda.stamp: $(VENV)/test.stamp .ci/pycuda tests/support/kernels/driver.cpp
	mkdir -p build
	g++ -std=c++17 -O1 -fPIC -shared -Wno-unknown-pragmas -Wl,-soname,libcuda.so.1 -Iruntime/samplers/gpu/kernels \
	  -o $(STAND_IN) tests/support/kernels/host.cpp tests/support/kernels/driver.cpp
	LIBCUDA=$(STAND_IN) .ci/pycuda $(BIN)/python
	touch $@

# PyCUDA comes first: it is built from source, and the likeliest to fail.
$(GPU_VENV)/gpu.stamp: .ci/pycuda .ci/offline $(SETUP)
ifneq ($(WHEELS),)
	mkdir -p build
	$(PYTHON) .ci/offline $(WHEELS) > build/offline.txt
	$(PYTHON) -m venv --system-site-packages $(GPU_VENV)
	grep -v '/pycuda-[^/]*gz$$' build/offline.txt | xargs -r $(GPU_BIN)/python -m pip install --quiet --no-index --no-deps
	! grep -q '/pycuda-[^/]*gz$$' build/offline.txt || \
	  PIP_NO_INDEX=1 PIP_FIND_LINKS=$(abspath $(WHEELS)) .ci/pycuda $(GPU_BIN)/python
	$(GPU_BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation -e .
else
	$(PYTHON) -m venv $(GPU_VENV)
	.ci/pycuda $(GPU_BIN)/python
	$(GPU_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[video,export,train,benchmark,test,rtx]'
	$(GPU_BIN)/python -m pip uninstall --quiet --yes onnxruntime
	$(GPU_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'onnxruntime-gpu[cuda,cudnn]'
endif
	touch $@
