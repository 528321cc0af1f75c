# make            the library, under target/release
# make demo       trains a network on handwritten digits, from C
# make test       everything that is tested; LANES="rust c" for a part
# make check-release  the long forms of some tests, before a release
# make install    PREFIX=/usr/local; make wheel, make deb, make dist: packages under target/dist
# make bench      Taper against PyTorch; make bench-opencl: an OpenCL device against its peaks and CLBlast
SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR ?= $(PREFIX)/lib
LANES ?=
EPOCHS ?=
.DEFAULT_GOAL := lib
.PHONY: lib demo demo-c demo-cpp demo-go demo-python test packages check-release bench bench-opencl lint format gen install uninstall wheel deb dist clean deps help

lib:
	@scripts/build.sh

demo: demo-c

demo-c demo-cpp demo-go demo-python: demo-%: lib
	@[ $* != python ] || scripts/deps.sh python
	@mkdir -p target/demo
	@scripts/example.sh $* digits --weights target/demo/$*.safetensors $(if $(EPOCHS),--epochs $(EPOCHS))

test:
	@scripts/test.sh $(LANES)

# Packages of PyPI on Taper, compared with what they do with PyTorch (needs the network once).
packages: lib
	@scripts/packages.sh $(NAMES)

check-release:
	@scripts/test.sh --release-check $(LANES)

bench: lib
	@scripts/bench.sh

bench-opencl: lib
	@scripts/bench_opencl.sh $(ARGS)

lint:
	@scripts/test.sh rust.fmt rust.clippy generated go.fmt go.vet python.lint

format:
	@scripts/format.sh

# The C shims, the header, the bindings' generated parts and the API reference, from the op table.
gen:
	@. scripts/env.sh && cargo run --locked -p taper-gen

# What was built is installed as it is, also by a user who has no cargo (sudo make install).
install: $(if $(and $(wildcard target/release/libtaper.so),$(wildcard target/release/libtaper.a)),,lib)
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" scripts/install.sh

uninstall:
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" scripts/install.sh --remove

# A wheel with the library in it and a source distribution, under target/dist.
wheel:
	@scripts/wheel.sh

# Debian packages, and the release tarball with all crates in it.
deb: lib
	@scripts/deb.sh

dist:
	@scripts/dist.sh

# Everything that the other targets need, for machines that will be offline later.
deps:
	@scripts/deps.sh test

clean:
	rm -rf target .venv .venv-bench .venv-cuda

help:
	@sed -n '1,6p' Makefile | cut -c3-
