# Type `make` to see what there is.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
recipe ?= assistant
out    ?= data/$(recipe)
args   ?=
EXTRAS := espeak,show
preset ?= embedded
run    ?= runs/$(recipe)
folds  ?= 3
eval   ?= $(out)
bundle ?= $(run)/bundle
jobs   ?= 2
CLIENTS_ENV ?= .clients
cores  ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)

.DEFAULT_GOAL := help
.PHONY: help dataset plan check estimate report publish train export serve publish-model clients test unit lint fmt bench golden clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## /{printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: recipe=NAME (recipes/NAME.yaml)  out=DIR  args='--workers 2 --limit 50'"
	@echo "  training:  preset=embedded|small|paper  run=DIR  folds=K  eval=DIR (a dataset to be evaluated on)"

$(BIN)/.user: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

$(BIN)/.dev: $(BIN)/.user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),gemini,openai,http,asr,dev]'
	@touch $@

dataset: $(BIN)/.user ## Build data/NAME from recipes/NAME.yaml (goes on where it stopped)
	@$(BIN)/python -m datagen build recipes/$(recipe).yaml --out $(out) $(args)

plan: $(BIN)/.user ## Timelines and their statistics, without audio
	@$(BIN)/python -m datagen plan recipes/$(recipe).yaml $(args)

check: $(BIN)/.user ## What the recipe needs, and how to get what is missing
	@$(BIN)/python -m datagen check recipes/$(recipe).yaml $(args)

estimate: $(BIN)/.user ## What a run would take: money, GPU hours, hours of audio, disk
	@$(BIN)/python -m datagen estimate recipes/$(recipe).yaml $(args)

report: $(BIN)/.user ## Write the report of a dataset again
	@$(BIN)/python -m datagen report $(out)

$(BIN)/.hub: $(BIN)/.user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),hub]'
	@touch $@

publish: $(BIN)/.hub ## Put data/NAME on the Hugging Face Hub: repo=ORG/NAME, args='--tag v1 --private --dry-run'
	@test -n '$(repo)' || { echo 'error: repo is missing: make publish recipe=$(recipe) repo=ORG/NAME' >&2; exit 2; }
	@$(BIN)/python -m datagen publish $(out) $(repo) $(args)

$(BIN)/.train: $(BIN)/.user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),train]'
	@touch $@

train: $(BIN)/.train ## Train on data/NAME: fast path, K folds, verifier, evaluation (goes on where it stopped)
	@$(BIN)/python -m trainer fit $(out) --out $(run) --preset $(preset) $(args)
	@$(BIN)/python -m trainer kfold $(run) --folds $(folds)
	@$(BIN)/python -m trainer evaluate $(run) --data $(eval) --out $(run)/evaluation

$(BIN)/.runtime: $(BIN)/.train
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),train,runtime]'
	@touch $@

export: $(BIN)/.runtime ## Write the bundle of runs/NAME: weights, verifier, thresholds, proof, card
	@$(BIN)/python -m trainer export $(run) --out $(bundle)

serve: $(BIN)/.runtime ## Talk to the last training run: a page, and the OpenAI Realtime protocol (args='--port 9000')
	@test -e $(bundle)/bundle.json && test -z "$$(find $(run) -path $(bundle) -prune -o \( -name '*.safetensors' -o -name evaluation.json \) -newer $(bundle)/bundle.json -print -quit)" \
	  || $(BIN)/python -m trainer export $(run) --out $(bundle)
	@$(BIN)/python -m trainer serve $(bundle) $(args)

publish-model: $(BIN)/.runtime $(BIN)/.hub ## Put the bundle on the Hugging Face Hub: repo=ORG/NAME, args='--tag v1 --private --dry-run'
	@test -n '$(repo)' || { echo 'error: repo is missing: make publish-model recipe=$(recipe) repo=ORG/NAME' >&2; exit 2; }
	@$(BIN)/python -m trainer publish $(bundle) $(repo) $(args)

test: $(BIN)/.dev ## All tests (jobs=N processes, each with a torch of its own)
	$(BIN)/python -m pytest -n $(jobs) --dist worksteal

unit: $(BIN)/.dev ## The quick tests: no clusters, no trainings, fewer examples
	$(BIN)/python -m pytest -n $(cores) --dist worksteal -m "not slow"

clients: $(CLIENTS_ENV)/.installed ## The stock clients of the Realtime protocol that the server is tested with (needs npm)

$(CLIENTS_ENV)/.installed: tests/contract/clients/requirements.txt tests/contract/clients/package.json
	@command -v npm >/dev/null || { echo 'error: npm is missing; install Node.js 20 or newer' >&2; exit 2; }
	$(PYTHON) -m venv $(CLIENTS_ENV)/py
	$(CLIENTS_ENV)/py/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	mkdir -p $(CLIENTS_ENV)/node
	cp tests/contract/clients/package.json $(CLIENTS_ENV)/node/
	npm install --prefix $(CLIENTS_ENV)/node --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

lint: $(BIN)/.dev ## Style, types, and the rules of who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

fmt: $(BIN)/.dev ## Format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(BIN)/.dev ## Speed, memory and same-bytes benchmarks (long; leave the machine alone)
	MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=268435456 ARROW_DEFAULT_MEMORY_POOL=system \
	$(BIN)/python -m tests.benchmarks

golden: $(BIN)/.dev ## Write the golden files again; review the diff
	$(BIN)/python -m tests.golden.write

clean: ## Remove what the tools leave behind (data/ stays)
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
