# `make` lists the targets. Everything lives in .venv; nothing is installed elsewhere,
# except Debian packages for the tests (see scripts in packaging/debian-packages).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WHEELS := wire governor agent coordinator router
ARGS ?=
# The whole suite, three workers for two cores, as a third of their time is waiting for processes of ours; what
# ARGS names by path in one process, as it is read more easily.
WORKERS ?= $(if $(findstring tests/,$(ARGS)),,--numprocesses=$(shell echo $$(( $$(nproc 2>/dev/null || echo 2) * 3 / 2 ))) --maxprocesses=12 --dist=worksteal)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore
# Deaf to whatever is active or exported in the caller's shell; without bytecode a coordinator starts half as fast.
unexport PYTHONPATH VIRTUAL_ENV PYTHONHOME PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test takeover network-trial soak chaos fuzz audit fuzz-rest test-train train check lock bench clean docs man deb deb-trial system-packages bench-packages wheels sbom apt-repo docs-trial newcomer changelog image-trial

help: ## list the targets
	@awk -F':.*## ' '/^[a-z%-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else "make: $(PYTHON) is Python %d.%d; Tidewatt needs 3.10 to 3.13 (make PYTHON=python3.12 ...)" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) cannot create a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: requirements/build.txt requirements/run.txt $(WHEELS:%=%/pyproject.toml) | $(VENV)/bin/python
	@echo "installing Tidewatt into $(VENV)"
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install -q --require-hashes --no-build-isolation -r requirements/run.txt
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation $(WHEELS:%=-e ./%)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@$(BIN)/python -m pip install -q --require-hashes --no-build-isolation -r requirements/dev.txt
	@touch $@

run: $(VENV)/.run ## run a fleet: coordinator, broker, five agents, a real day of traffic (ARGS="--help")
	@exec $(BIN)/tidewatt run $(ARGS)

test: $(VENV)/.dev system-packages ## set up what is missing, then run the whole suite on all cores (ARGS go to pytest)
	@$(BIN)/python -m pytest $(WORKERS) $(ARGS)

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.dev
	@$(BIN)/python -m pip install -q --require-hashes -r requirements/fuzz.txt
	@touch $@

fuzz: $(VENV)/.fuzz ## throw strange things at every door for an hour (ARGS="prices --seconds 600")
	@$(BIN)/python -m tests.fuzz.run $(or $(ARGS),all --seconds 3600)

audit: $(VENV)/.dev ## ask whether shipped packages have known holes; fails when nobody answers (ARGS="--osv URL")
	@$(BIN)/python packaging/audit.py $(ARGS)

fuzz-rest: $(VENV)/.dev ## ask the REST API all that its OpenAPI allows, for ten minutes (ARGS="--seconds 60")
	@$(BIN)/python -m tests.fuzz.rest $(ARGS)

chaos: $(VENV)/.dev system-packages ## kill and hinder real processes 200 times, and judge what is left (ARGS="--seed 7 --faults 20")
	@exec $(BIN)/python -m tests.chaos.run $(ARGS)

system-packages:
	@sh packaging/debian-packages install test

bench-packages:
	@sh packaging/debian-packages install bench

deb: $(VENV)/.dev ## the Debian packages of agent, router and coordinator, in build/deb (ARGS="--package tidewatt-router --arch amd64")
	@$(BIN)/python packaging/build_deb.py $(ARGS)

deb-trial: $(VENV)/.dev ## try the packages in a real systemd and on emulated arm64 (as root)
	@sh packaging/debian-packages install deb
	@$(BIN)/python -m pytest tests/installed --ignore=tests/installed/test_image.py $(ARGS)

image-trial: $(VENV)/.dev ## build the container's image from the Dockerfile and run it with a read-only root (as root; ten minutes)
	@sh packaging/debian-packages install image
	@$(BIN)/python -m pytest tests/installed/test_image.py --timeout=1200 $(ARGS)

wheels: $(VENV)/.dev ## wheels and sdists of the five packages, in build/dist
	@$(BIN)/python packaging/build_wheels.py $(ARGS)

sbom: $(VENV)/.dev ## a bill of materials (CycloneDX) of each wheel, Debian package and image, in build/sbom
	@$(BIN)/python packaging/build_sbom.py $(ARGS)

apt-repo: $(VENV)/.dev ## a signed apt repository of build/deb, in build/apt (APT_KEY=FINGERPRINT)
	@APT_KEY='$(APT_KEY)' $(BIN)/python packaging/build_apt_repo.py $(ARGS)

docs: $(VENV)/.dev ## write the generated documents (wire, metrics, configuration, commands, boards, prices)
	@$(BIN)/python docs/generate.py

docs-trial: $(VENV)/.dev system-packages ## type every command of the documents, the slow ones, too
	@TIDEWATT_DOCS_TRIAL=1 $(BIN)/python -m pytest tests/documents --timeout=1200 $(ARGS)

newcomer: $(VENV)/.dev ## a new user's three journeys on a bare Debian, timed (as root; ARGS="--python python3.12": here)
	@sh packaging/debian-packages install deb
	@$(BIN)/python -m tests.newcomer.run $(ARGS)

changelog: $(VENV)/.dev ## what is new since the last release (ARGS="release 0.2.0 2027-01-31" writes it)
	@$(BIN)/python packaging/changelog.py $(or $(ARGS),draft)

man: $(VENV)/.dev ## write the pages of the manual to build/man
	@$(BIN)/python docs/generate.py --man

check: $(VENV)/.dev ## lint, format, types, layers, links, generated documents, fragments, known holes
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check_links.py
	$(BIN)/python docs/generate.py --check
	$(BIN)/python packaging/changelog.py check
	$(BIN)/python packaging/audit.py --if-answered

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	@$(BIN)/python -m pip install -q --require-hashes --no-build-isolation -r requirements/bench.txt
	@touch $@

$(VENV)/.train: requirements/train.txt $(VENV)/.dev
	@$(BIN)/python -m pip install -q --require-hashes --no-build-isolation -r requirements/train.txt
	@touch $@

takeover: $(VENV)/.dev system-packages ## kill the holder of the lease four times with the shipped times: seconds till the other holds it
	@$(BIN)/python -m pytest tests/takeover -s $(ARGS)

test-train: $(VENV)/.train ## the tests of `tidewatt train`, with torch (gigabytes)
	@$(BIN)/python -m pytest tests/train $(ARGS)

network-trial: $(VENV)/.dev system-packages ## a device on a line that loses, narrows or is pulled, in a network of its own (as root; three minutes)
	@$(BIN)/python -m pytest tests/network -s $(ARGS)

train: $(VENV)/.train ## train a forecasting model (ARGS="--csv DIR --out FILE")
	@exec $(BIN)/tidewatt train $(ARGS)

bench-governor bench-forecast bench-joint bench-sleep: $(VENV)/.bench
# A process per core as it is.
bench-joint bench-sleep: export OPENBLAS_NUM_THREADS = 1
bench-%: $(VENV)/.dev bench-packages ## one benchmark (bench-agent), table here, JSON in benchmarks/results
	@$(BIN)/python -m benchmarks.$*

bench: bench-agent bench-parser bench-governor bench-forecast bench-dispatch bench-joint bench-sleep bench-ledger bench-ingest bench-fleet bench-page ## every benchmark

soak: $(VENV)/.dev ## an hour of one agent, judged by what it holds in the end (SOAK_SECONDS=600)
	@$(BIN)/python -m benchmarks.soak

lock: $(VENV)/.dev ## renew requirements/*.txt from *.in
	@cd requirements && for name in build run dev bench train device forecast router coordinator fuzz image; do ../$(BIN)/uv pip compile -q $$name.in -o $$name.txt \
		--universal --python-version 3.10 --fork-strategy requires-python --generate-hashes --no-emit-index-url \
		--no-header --no-annotate; done

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
