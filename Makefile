# SPDX-License-Identifier: MIT
# A thin front: CMake does the work. `make` builds into build/ and installs nothing.
CMAKE_FLAGS =
BENCH_FLAGS =
JOBS := $(shell nproc 2>/dev/null || echo 2)
MAKEFLAGS += --no-print-directory

all: tools-are-there
	cmake -S . -B build $(CMAKE_FLAGS)
	cmake --build build --parallel $(JOBS)

# The library alone, shared and static, from nothing but CMake and a compiler. It has a build tree of its own, build/lib, so
# that what is switched off for it is not switched off for `make`.
lib: tools-are-there
	cmake -S . -B build/lib -DBATCHNORM_BUILD_FILE=OFF -DBATCHNORM_BUILD_MODEL=OFF -DBATCHNORM_BUILD_MPI=OFF \
	    -DBATCHNORM_BUILD_TOOLS=OFF -DBATCHNORM_BUILD_PYTHON=OFF -DBATCHNORM_BUILD_EXAMPLES=OFF \
	    -DBATCHNORM_BUILD_TESTS=OFF $(CMAKE_FLAGS)
	cmake --build build/lib --parallel $(JOBS)

# Install what is missing (Debian), build, and compare training with and without batch norm.
demo:
	scripts/install-deps.sh demo
	+$(MAKE) all
	scripts/demo.sh

# Install what is missing (Debian packages, and packages of Python outside this tree), then every build and every test; the last
# line is the summary.
test:
	@scripts/install-deps.sh demo test
	@scripts/python-packages.sh onnx onnxruntime numpy pytest hypothesis ml_dtypes
	@scripts/test-all.sh

# Install what is missing (Debian packages, and PyTorch outside this tree), build, and time the library against its peers.
bench:
	scripts/install-deps.sh bench
	+$(MAKE) all
	scripts/bench.sh $(BENCH_FLAGS)

# Where the library is not faster than PyTorch: both over many shapes.
bench-map:
	scripts/install-deps.sh bench
	+$(MAKE) all
	scripts/bench.sh --map $(BENCH_FLAGS)

# The times of one training step of the command's networks, beside PyTorch's.
bench-train:
	scripts/install-deps.sh bench
	+$(MAKE) all
	scripts/bench.sh --training $(BENCH_FLAGS)

# The Python package: source and wheel in build/wheel, checked, and tried in an environment in which nothing else is.
wheel:
	scripts/wheel.sh

# Install what is missing, then Debian's packages in build/deb, tried in a bare Debian.
deb:
	scripts/install-deps.sh demo deb
	scripts/deb.sh

# What clang-tidy, cppcheck and gcc -fanalyzer find, of those that are there. No part of `make test`: every version of them
# finds other things.
analyze: tools-are-there
	@scripts/analyze.sh

tools-are-there:
	@command -v cmake >/dev/null || { echo "batchnorm needs cmake, which is not installed; on Debian:" \
	    "scripts/install-deps.sh demo  (or: apt-get install cmake)" >&2; exit 1; }
	@command -v $(CC) >/dev/null || { echo "batchnorm needs a C compiler, and there is no \"$(CC)\"; on Debian:" \
	    "scripts/install-deps.sh demo  (or: apt-get install gcc libc6-dev)" >&2; exit 1; }

clean:
	rm -rf build

.PHONY: all lib demo test bench bench-map bench-train wheel deb analyze tools-are-there clean
