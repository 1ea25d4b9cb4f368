# Cloud Images: what one does with the code. `make` lists it.
# Each target sets up what it needs; only Python must be there, 3.11 to 3.14.

BIN := .venv/bin
# There once .venv holds what requirements-dev.txt says.
READY := .venv/ready
# There once .venv holds what `make run` needs, unless it holds all.
RUNNABLE := $(if $(wildcard $(READY)),$(READY),.venv/runnable)

# PYTHON= chooses the Python of .venv, which keeps it until another one is chosen.
ifdef PYTHON
ifneq ($(shell $(PYTHON) -V 2>&1 || :),$(shell $(BIN)/python -V 2>&1 || :))
.PHONY: $(READY) $(RUNNABLE)
endif
endif
# Unless it is chosen: .venv's, Lambda's, or the newest.
PYTHON ?= $(shell for python in $(realpath $(BIN)/python) \
	python$$(cat infra/package/python-version) python3.14 python3.13 python3.12 \
	python3.11; do $$python -V >/dev/null 2>&1 && exec echo $$python; done; echo python3)

.DEFAULT_GOAL := help
.PHONY: help run test test-all soak check audit bench format package deploy docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

# What is set here reaches the server: make puts it in the environment of its commands.
# `exec` leaves no shell between, so that Ctrl-C and SIGTERM reach the server, too.
run: $(RUNNABLE) ## Run the API on this machine [PORT= DATA= SERVER= BACKEND= and each setting]
	@exec $(BIN)/python -m infra.local

# Tests start servers by the dozen: what they import is compiled once, also where the
# environment keeps no bytecode, as in many containers.
test test-all: export PYTHONDONTWRITEBYTECODE =

test: check ## Check, then run what needs no Java, Keystone, client or browser (minutes)
	@$(BIN)/python -m pytest -m "not (java or keystone or clients or browser or thorough)"

test-all: check ## Check, then run all tests, and measure what they cover
	@$(BIN)/python -m pytest --cov --cov-report=term

# What a failure prints repeats it: ONLY= and SEED= of its try.
soak: $(READY) ## Try storms, faults, fuzz on DynamoDB Local [MINUTES=10 HOURS= SEED= ONLY=]
	@exec $(BIN)/python -m tests.soak

check: $(READY) ## Check style, types and the infrastructure's template
	@$(BIN)/ruff check --quiet . tools/upload tools/sharing
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/cfn-lint infra/resources.yaml infra/account.yaml infra/github.yaml

audit: $(READY) ## Look for known vulnerabilities in lock files, and for secrets
	@$(BIN)/uv venv --quiet --allow-existing .cache/audit
	@$(BIN)/uv pip sync --quiet --python .cache/audit --require-hashes .ci/audit.txt
	@git ls-files -z ':!.ci/secrets.json' ':!*-min.js' | xargs -0 .cache/audit/bin/detect-secrets-hook \
		--baseline .ci/secrets.json
	@for lock in $$(git ls-files '*.txt' | xargs grep -l -- --hash); do \
		.cache/audit/bin/pip-audit --progress-spinner off --strict --disable-pip \
		--require-hashes --requirement $$lock || exit; done

bench: $(READY) ## Measure cold starts, requests, and growth (needs Linux, Java) [IMAGES=1000000]
	@$(BIN)/python -m tests.package.cold_start
	@$(BIN)/python -m tests.bench.beside_floor
	@$(BIN)/python -m tests.bench.growth 1000 10000 100000 $(IMAGES)

format: $(READY) ## Set the code in its form
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

STAGE ?= dev
OUT ?= dist/$(STAGE)
ARCH ?= arm64
package: $(READY) ## Make what is deployed [STAGE=dev|prod OUT=dist/dev ARCH=arm64|x86_64]
	@$(BIN)/python -m infra.package $(STAGE) $(OUT) $(ARCH)

STACK ?= cloud-images-$(STAGE)
PARAMETERS ?= infra/stages/$(STAGE).json
# PACKAGED=yes deploys what `make package` made before, elsewhere.
deploy: ## Package and deploy a stage [STAGE= PARAMETERS=infra/stages/dev.json STACK= ARCH=]
	@test -f $(PARAMETERS) || { echo "$(PARAMETERS) is missing:" \
		"copy infra/stages/example.json and fill it in." >&2; exit 1; }
	@bucket=$$(aws cloudformation describe-stacks --stack-name cloud-images-account \
		--output text --query "Stacks[0].Outputs[?OutputKey=='Artifacts'].OutputValue") && \
	$(if $(PACKAGED),,$(MAKE) --no-print-directory package &&) \
	aws cloudformation package --template-file $(OUT)/sam.yaml --s3-bucket "$$bucket" \
		--s3-prefix $(STAGE) --output-template-file $(OUT)/deploy.yaml && \
	aws cloudformation deploy --stack-name $(STACK) --template-file $(OUT)/deploy.yaml \
		--s3-bucket "$$bucket" --s3-prefix $(STAGE) \
		--capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
		--no-fail-on-empty-changeset --parameter-overrides file://$(PARAMETERS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)
docs: $(READY) ## Write the OpenAPI document
	@TABLE_NAME=none BUCKET_NAME=none QUEUE_URL=none AUTH=development \
		AWS_DEFAULT_REGION=us-east-1 $(BIN)/python -m infra.openapi

lock: ## Compile the requirements of project, Keystone and clients [UPGRADE=1: to the newest]
	@test -x $(BIN)/uv || $(MAKE) --no-print-directory $(READY)
	@$(LOCK) --output-file requirements.txt pyproject.toml
	@for group in run dev; do $(LOCK) --output-file requirements-$$group.txt \
		--group $$group --constraint requirements.txt pyproject.toml || exit; done
	@for name in $(basename $(wildcard .ci/*.in infra/local/*.in tests/*/*.in)); do \
		$(LOCK) --output-file $$name.txt $$name.in || exit; done

clean: ## Remove what the other targets made
	rm -rf .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .venv dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# uv installs faster than pip. It knows no settings of pip, as that of an index:
# where it fails (`failed` carries its status past awk), pip does the rest.
define set-up
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
		2>/dev/null || { echo "Python 3.11 to 3.14 is needed, $(PYTHON) is not:" \
		"make PYTHON=<path>" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) -V), once:"
	@$(PYTHON) -m venv --clear .venv
	@sed -n '/^uv==/,/[^\]$$/p' $(1) >.venv/uv.txt
	@$(PIP_INSTALL) -r .venv/uv.txt
	@{ $(BIN)/uv pip sync --python $(BIN)/python --require-hashes $(1) 2>&1 || echo failed; } | \
		awk '/^failed$$/{exit 1} !/^ [-+] /{print "  " $$0; fflush()}' || \
		{ echo "  Trying pip, which takes longer."; $(PIP_INSTALL) -r $(1); }
	@touch $@
endef
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--no-compile --require-hashes

$(READY): requirements.txt requirements-dev.txt
	$(call set-up,requirements-dev.txt)

.venv/runnable: requirements.txt requirements-run.txt
	$(call set-up,requirements-run.txt)
