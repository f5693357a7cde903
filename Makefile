# The project's commands. Each installs what it needs first; `make help` lists them.

BUILD ?= build
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600

CMAKE := cmake -S . -G Ninja --log-level=WARNING
# Addresses and undefined behaviour are checked in the build that the fuzz targets share, so that
# the library is compiled for both at once.
CHECKED := $(BUILD)/checked

.DEFAULT_GOAL := build
.PHONY: help dependencies build demo test test-all sanitize fuzz arm bench bench-kernels soak format \
  package test-package

help: ## Show these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

dependencies: ## Install missing Debian packages
	@tools/install-dependencies

build: dependencies ## Build the library, the program and the tests
	@test -f $(BUILD)/build.ninja || $(CMAKE) -B $(BUILD) -DCMAKE_BUILD_TYPE=Release
	@cmake --build $(BUILD) --parallel $(JOBS)

demo: build ## The whole life of a small model that writes poems
	@MILLRACE=$(BUILD)/millrace tools/demo

test: build ## Run the tests
	@ctest --test-dir $(BUILD) --output-on-failure --parallel 2 --label-exclude slow

test-all: build ## Run all tests, the slow ones too
	@ctest --test-dir $(BUILD) --output-on-failure --parallel 2

$(CHECKED)/build.ninja:
	@$(CMAKE) -B $(CHECKED) -DCMAKE_CXX_COMPILER=clang++ -DMILLRACE_FUZZ=ON \
	  -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -gline-tables-only" \
	  -DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld

sanitize: dependencies $(CHECKED)/build.ninja ## Run the tests under address and undefined-behaviour checks
	@cmake --build $(CHECKED) --parallel $(JOBS)
	@ctest --test-dir $(CHECKED) --output-on-failure --parallel 2 --label-exclude slow

fuzz: dependencies $(CHECKED)/build.ninja ## Run each fuzz target for FUZZ_SECONDS
	@cmake --build $(CHECKED) --parallel $(JOBS) --target fuzz_targets
	@tools/fuzz $(CHECKED) $(FUZZ_SECONDS)

arm: dependencies ## Build the kernels for 64-bit Arm and run their tests under qemu
	@tools/install-dependencies g++-aarch64-linux-gnu qemu-user-static
	@tools/fetch-arm-libraries $(BUILD)/arm/libraries
	@test -f $(BUILD)/arm/build.ninja || \
	  $(CMAKE) -B $(BUILD)/arm -DCMAKE_BUILD_TYPE=Release -DMILLRACE_KERNELS_ONLY=ON \
	    -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake \
	    -DMILLRACE_SYSROOT=$(abspath $(BUILD)/arm/libraries)
	@cmake --build $(BUILD)/arm --parallel $(JOBS)
	@ctest --test-dir $(BUILD)/arm --output-on-failure --parallel 2 --label-exclude slow

bench: build ## Measure speed and memory; PEERS="--peer llama.cpp=BIN" beside others (docs/measurements.md)
	@tools/install-dependencies python3 python3-pip
	@model=$${MILLRACE_CACHE:-$$HOME/.cache/millrace}/models/SmolLM2-135M-Instruct.Q4_1.gguf; \
	if tools/fetch-models; then \
	  MILLRACE=$(BUILD)/millrace python3 tools/measure_peers.py --rounds 1 $(PEERS) -- "$$model"; \
	  MILLRACE=$(BUILD)/millrace python3 tools/measure_tokenizers.py --only millrace --rounds 3 "$$model"; \
	fi
	@MILLRACE=$(BUILD)/millrace python3 tools/measure_tokenizers.py --only millrace --rounds 3 --train
	@MILLRACE=$(BUILD)/millrace python3 tools/measure_pytorch.py --only millrace --rounds 1 --steps 4

$(BUILD)/bench/build.ninja:
	@$(CMAKE) -B $(BUILD)/bench -DCMAKE_BUILD_TYPE=Release -DMILLRACE_TESTS=OFF -DMILLRACE_BENCH=ON

bench-kernels: dependencies $(BUILD)/bench/build.ninja ## Run the micro-benchmarks of the inner loops
	@cmake --build $(BUILD)/bench --parallel $(JOBS)
	@for program in $(BUILD)/bench/bench/bench_*; do $$program || exit 1; done

soak: dependencies $(BUILD)/bench/build.ninja ## Put mixed load on the server for SOAK_SECONDS; memory must stay flat
	@cmake --build $(BUILD)/bench --parallel $(JOBS) --target millrace_program serve_load
	@tools/install-dependencies python3 python3-pip && tools/fetch-models
	@MILLRACE=$(BUILD)/bench/millrace SERVE_LOAD=$(BUILD)/bench/bench/serve_load \
	  SOAK_SECONDS=$(SOAK_SECONDS) tools/soak

package: build ## Make a .deb and a tar that run in a bare Debian 12, in BUILD/package
	@BUILD=$(BUILD) tools/package

test-package: package ## Try both in a bare Debian without network (needs root)
	@BUILD=$(BUILD) tools/test-package

format: ## Format the sources
	@git ls-files '*.cpp' '*.h' | xargs clang-format -i
