# `make` alone lists the verbs. Settings: plugins/strandline/settings.py; each may be given on the command line, as in
# `make up STRANDLINE_API_PORT=8081`.
PYTHON ?= python3.11
N ?= 500
MODEL ?= cifar_resnet110_v1
RUNTIME ?= cpu
TESTS ?=  # of test-airflow or test-vision: files and options of pytest; all of them if empty
CORES ?= $(shell nproc)  # that tests are spread over
ONLY ?=  # of zoo: names of networks, to measure again; empty for all that have not been measured

HOME_FOLDER := $(CURDIR)/.strandline
AIRFLOW := $(HOME_FOLDER)/venvs/airflow/bin/python
VISION := $(HOME_FOLDER)/venvs/vision/bin/python
export PYTHONPATH := $(CURDIR)/plugins:$(CURDIR)
export PYTHONUNBUFFERED := 1

# What libraries write of their own accord stays in the checkout, too.
CONTAINED := HOME="$(HOME_FOLDER)/user" AIRFLOW_HOME="$(HOME_FOLDER)/user/airflow" TMPDIR="$(HOME_FOLDER)/tmp" \
	XDG_CACHE_HOME="$(HOME_FOLDER)/user/cache" XDG_CONFIG_HOME="$(HOME_FOLDER)/user/config" \
	MPLCONFIGDIR="$(HOME_FOLDER)/user/matplotlib" DO_NOT_TRACK=true

# Some shells have a NAME of their own.
NAMED = --name "$(if $(filter command%,$(origin NAME)),$(NAME))"

# Tests that share a fixture stay together, until a core has nothing left to do. Each core has a process already: threads
# of linear algebra would spend their time waiting for each other.
SPREAD := -n $(CORES) --dist worksteal
TESTING := $(CONTAINED) OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo up serve consumer revoke down status logs drop training-sets pretrained import-model measure convert \
	verify backup restore secrets champion bench bench-peer bench-serve bench-million bench-pages bench-drift bench-gate zoo parity \
	images test test-fast test-end-to-end \
	test-docker test-airflow test-vision drills check docs lock python environments dev-environments

help: ## List these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: environments ## Set everything up, and tell the whole story on real photographs
	@$(AIRFLOW) -m local.demo.demo

up: environments ## Start Postgres and Airflow, and wait until they are healthy
	@$(AIRFLOW) -m local.stack.stack up

serve: environments ## Answer over HTTP with the champion, beside all that `make up` starts
	@$(AIRFLOW) -m local.stack.stack serve

consumer: environments ## Let an application ask, and print its token: make consumer NAME=shop RATE=50 VERSION=<version>
	@$(AIRFLOW) -m local.stack.consumer create $(NAMED) --rate "$(RATE)" --version "$(VERSION)"

revoke: environments ## Refuse an application from now on: make revoke NAME=shop
	@$(AIRFLOW) -m local.stack.consumer revoke $(NAMED)

down: ## Stop all that was started
	@$(call if_set_up,$(AIRFLOW) -m local.stack.stack down)

status: ## Say what runs
	@$(call if_set_up,$(AIRFLOW) -m local.stack.stack status)

logs: ## Follow the logs of all parts
	@$(call if_set_up,$(AIRFLOW) -m local.stack.stack logs)

drop: environments ## Drop N real images into the landing zone: make drop N=500
	@$(VISION) -m local.demo.drop --count $(N)

training-sets: environments ## Freeze CIFAR-10's holdout and original training images as datasets; FOR=compose
	@$(AIRFLOW) -m local.demo.training_sets $(FOR)

verify: environments ## Prove every invariant of the ledger, and its audit log: make verify AUDIT=<hash noted before>
	@$(AIRFLOW) -m local.stack.verify $(AUDIT)

pretrained: environments ## Register a network of GluonCV, by MODEL=name; of your own weights, by WEIGHTS=, CLASSES=
	@$(AIRFLOW) -m local.build.pretrained "$(MODEL)" --weights "$(WEIGHTS)" --classes "$(CLASSES)" \
		--preprocessing "$(PREPROCESSING)" --pictures "$(PICTURES)" $(NAMED)

import-model: environments ## Register a model of your own: make import-model ONNX=... CLASSES=... PREPROCESSING=...
	@$(AIRFLOW) -m local.build.import_model --onnx "$(ONNX)" --classes "$(CLASSES)" \
		--preprocessing "$(PREPROCESSING)" --pictures "$(PICTURES)" $(NAMED)

measure: environments ## Measure a version on labelled pictures: make measure VERSION=<version> PICTURES=folder
	@$(AIRFLOW) -m local.build.measured --version "$(VERSION)" --pictures "$(PICTURES)"

convert: environments ## Give a bundle of the first format its graph: make convert VERSION=<version>
	@$(AIRFLOW) -m local.build.convert "$(VERSION)"

backup: environments ## Keep the ledger and the store: make backup TO=/backups/today
	@$(AIRFLOW) -m local.stack.backup backup "$(TO)"

restore: environments ## Put a backup into a checkout that has none: make restore FROM=/backups/today
	@$(AIRFLOW) -m local.stack.backup restore "$(FROM)"

secrets: python ## Write .env and a folder of secrets for docker compose: made once, then kept
	@$(PYTHON) -m local.stack.dotenv

champion: environments ## Train the first champion from scratch (hours)
	@$(CONTAINED) PYTHONPATH="$(PYTHONPATH):$(CURDIR)/docker/vision" $(VISION) -m local.build.train_champion

bench: environments ## Measure this machine: images/s of each phase and of the whole run
	@$(AIRFLOW) -m local.bench.bench

bench-peer: environments ## Measure the whole job beside Ray Data's, which gets an environment of its own
	@$(PYTHON) local/build/environments.py install ray
	@$(AIRFLOW) -m local.bench.peer

bench-serve: environments ## Measure answers over HTTP beside MLServer's and FastAPI's; writes a table into docs/serving.md
	@$(PYTHON) local/build/environments.py install serving-peers
	@PYTHONPATH="$(PYTHONPATH):$(CURDIR)/docker/vision" $(VISION) -m local.bench.serve

bench-million: environments ## Ingest a drop of N=1,000,000 small files once: time and memory of every part
	@$(AIRFLOW) -m local.bench.million --images $(if $(filter command%,$(origin N)),$(N),1000000)

bench-pages: environments ## Measure the pages on a ledger of N=10,000,000 entries (half an hour, 20 GB); writes a table into docs/pages.md
	@$(AIRFLOW) -m local.bench.pages --entries $(if $(filter command%,$(origin N)),$(N),10000000) $(if $(KEEP),--keep)

bench-drift: environments ## Measure how well drift is found, on real images; writes docs/drift-evaluation.md
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	@$(CONTAINED) $(AIRFLOW) -m local.bench.drift

bench-gate: environments ## Measure how often the gate errs, by simulated gates of real predictions
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	@$(CONTAINED) PYTHONPATH="$(PYTHONPATH):$(CURDIR)/docker/vision" $(VISION) -m local.bench.gate predict
	@$(CONTAINED) $(AIRFLOW) -m local.bench.gate simulate

zoo: environments ## Measure which of GluonCV's image classifiers work here (hours): make zoo ONLY="resnet50_v1b vgg16"
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	@$(CONTAINED) PYTHONPATH="$(PYTHONPATH):$(CURDIR)/docker/vision" $(VISION) -m local.bench.zoo $(ONLY)

parity: environments ## Measure whether the champion says the same by every backend and precision; writes docs/parity.md
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	@$(CONTAINED) PYTHONPATH="$(PYTHONPATH):$(CURDIR)/docker/vision" $(VISION) -m local.bench.parity measure
	@$(CONTAINED) $(AIRFLOW) -m local.bench.parity page

images: python ## Build the container images; RUNTIME=cuda12 for those of GPU hosts
	@$(PYTHON) -m local.build.images --runtime $(RUNTIME) --model-version "$(MODEL_VERSION)"

# What starts servers waits a lot, and goes first; what computes fills the gaps. Each part is printed as it ends.
test: dev-environments ## Run all tests
	@$(MAKE) --no-print-directory -j4 -O GAPS="nice -n 10" test-end-to-end test-docker test-fast test-vision

test-fast: dev-environments ## Run the tests that need no server but Postgres (minutes)
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	$(TESTING) $(GAPS) $(AIRFLOW) -m pytest $(SPREAD) --ignore=tests/end_to_end --ignore=tests/docker

test-end-to-end test-docker: dev-environments
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	$(TESTING) $(AIRFLOW) -m pytest $(subst -,_,$(@:test-%=tests/%))

test-airflow: dev-environments
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	$(TESTING) $(AIRFLOW) -m pytest $(TESTS)

test-vision: dev-environments
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	cd docker/vision && $(TESTING) PYTHONPATH=. $(GAPS) $(VISION) -m pytest $(or $(TESTS),$(SPREAD))

drills: dev-environments ## Run the tests that take long: every hostile input, every fault (under an hour)
	@mkdir -p "$(HOME_FOLDER)/user" "$(HOME_FOLDER)/tmp"
	$(TESTING) $(AIRFLOW) -m pytest tests/drills

check: dev-environments ## Check format, types and the direction of imports
	$(AIRFLOW) -m ruff format --check .
	$(AIRFLOW) -m ruff check .
	$(AIRFLOW) -m mypy
	$(AIRFLOW) -m mypy --config-file tests/mypy.ini
	PYTHONPATH="$(PYTHONPATH):$(CURDIR)/docker/vision" $(dir $(AIRFLOW))lint-imports

docs: environments ## Write docs/settings.md and docs/dags.md again
	@$(AIRFLOW) -m strandline.settings > docs/settings.md
	@$(AIRFLOW) -m local.build.dag_pages > docs/dags.md

lock: python ## Compile all locks again from their .in files
	@$(PYTHON) local/build/environments.py lock

environments: python
	@$(PYTHON) local/build/environments.py install airflow vision

dev-environments: python
	@$(PYTHON) local/build/environments.py install airflow vision --dev

python:
	@command -v $(PYTHON) > /dev/null || { \
		echo "$(PYTHON) is missing: install Python 3.11 with venv, or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }

if_set_up = if [ -x $(AIRFLOW) ]; then $(1); else echo "Nothing is set up yet: make up"; fi
