# `make help` lists the targets. Everything that is downloaded or built goes to the user's cache folder.
SHELL := /bin/bash
UV := tools/uv
RUN := $(UV) run --no-sync
CLUSTER_TOOL := tools/cluster/cluster
CRDS := crds charts/flywheel-operator/files/crds
DASHBOARDS := charts/flywheel-operator/files/dashboards
COMMANDS := PYTHONPATH=operator $(RUN) typer flywheel.cli.main utils docs --name flywheel --title "Commands of flywheel" | sed '$$d'
export UV_PYTHON_DOWNLOADS := never
# Tests start many processes; without byte code each compiles every library anew, which takes it longer than its work.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup generate lint types contracts unit search ml serving apiserver faults e2e test demo shuffled control bench \
	cluster-up cluster-down cluster-status images docs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make the development environment (.venv)
	@$(UV) sync --frozen --quiet

generate: setup ## Write what is generated: crds/, docs/api, docs/metrics.md, docs/cli.md, dashboards, manifests and tables of the chart, argocd-cm.yaml
	PYTHONPATH=operator $(RUN) python -m flywheel.api.crd $(CRDS)
	PYTHONPATH=operator $(RUN) python -m flywheel.api.reference docs/api
	PYTHONPATH=operator $(RUN) python -m flywheel.controller.metrics_reference docs/metrics.md
	$(RUN) python tools/dashboards/write.py $(DASHBOARDS)
	$(RUN) python charts/generate.py
	$(RUN) python argocd/argocd_cm.py
	$(COMMANDS) >docs/cli.md

lint: setup ## Format, lint, and generated files against their sources
	$(RUN) ruff format --check
	$(RUN) ruff check
	PYTHONPATH=operator $(RUN) python -m flywheel.api.crd $(CRDS) --check
	PYTHONPATH=operator $(RUN) python -m flywheel.api.reference docs/api --check
	PYTHONPATH=operator $(RUN) python -m flywheel.controller.metrics_reference docs/metrics.md --check
	$(RUN) python tools/dashboards/write.py $(DASHBOARDS) --check
	$(RUN) python charts/generate.py --check
	$(RUN) python argocd/argocd_cm.py --check
	@$(COMMANDS) | diff docs/cli.md - || { echo "docs/cli.md differs from operator/flywheel/cli: run make generate" >&2; exit 1; }

types: setup ## pyright, strict
	$(RUN) pyright

contracts: setup ## Who may import whom
	PYTHONPATH=operator $(RUN) lint-imports --no-logo

docs: setup ## Build the documentation site, every link checked; open index.html of the folder that it names
	@out="$${XDG_CACHE_HOME:-$$HOME/.cache}/flywheel/docs" && $(RUN) sphinx-build -q -E -W --keep-going -b html docs "$$out" && echo "$$out"

unit: setup ## Pure tests, seconds
	$(RUN) pytest -n 2 tests/unit

search: setup ## The properties of the unit tests with new examples, more of them; much longer
	$(RUN) pytest -n 2 --hypothesis-profile search tests/unit

ml: setup ## Tests of training and inference with the real NeMo (6 GB environment, made once)
	PYTHONPATH=operator:images/student:images/trainer "$$(images/ml-environment.sh)" -m pytest -q -W ignore::pytest.PytestConfigWarning tests/ml

apiserver: setup ## Tests on a real etcd and kube-apiserver, with a real Argo CD
	$(CLUSTER_TOOL) binaries
	$(CLUSTER_TOOL) helm
	$(CLUSTER_TOOL) argocd
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder tests/apiserver

faults: setup ## Each write, watch event and change on disk meets each fault; prints the table (FLYWHEEL_FAULTS=alone: one fault a run, much longer)
	$(CLUSTER_TOOL) binaries
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder tests/unit/steps/test_crashes.py $(addprefix tests/apiserver/test_,faults.py hints.py gone.py killed.py)

serving: setup ## Rollouts on a real tritonserver, without a cluster
	images/ml-environment.sh >/dev/null
	$(RUN) pytest -n 2 --dist loadfile tests/serving

e2e: images ## Tests on a real node with real pods
	$(CLUSTER_TOOL) helm
	$(CLUSTER_TOOL) argocd
	eval "$$($(CLUSTER_TOOL) env)" && $(RUN) pytest tests/e2e

test: lint types contracts docs unit apiserver ml serving e2e ## Everything: what CI runs

demo: images ## Improve a student on real code reviews and serve it, in a cluster on this machine
	examples/code-review/demo

shuffled: setup ## Control: the demo's training on shuffled labels must fall to chance
	$(RUN) flywheel run --local --rehearsal-teacher --shuffle-labels --iterations 1 \
		--workspace "$${XDG_CACHE_HOME:-$$HOME/.cache}/flywheel/local/shuffled" examples/code-review

control: setup ## Control: the demo's steps on as many seed items, without the teacher's examples
	$(RUN) flywheel run --local --rehearsal-teacher --control --iterations 1 examples/code-review

bench: images ## Figures: demo by step, overhead, memory, writes, training and inference speed, a thousand runs, rate towards the teacher, rollouts under load
	examples/code-review/demo
	eval "$$($(CLUSTER_TOOL) env)" && $(RUN) python tests/bench/demo_steps.py
	PYTHONPATH=operator:images/student:images/trainer "$$(images/ml-environment.sh)" tests/bench/ml_training.py
	$(RUN) python tests/bench/scale.py
	PYTHONPATH=operator $(RUN) python tests/bench/teacher_rate.py
	PYTHONPATH=operator $(RUN) python tests/bench/rollouts.py

cluster-up: ## Start the cluster (CLUSTER=current REGISTRY=...: use the current kube context instead)
	$(CLUSTER_TOOL) up

cluster-down: ## Stop the cluster and leave nothing behind
	$(CLUSTER_TOOL) down

cluster-status: ## What runs
	$(CLUSTER_TOOL) status

images: setup cluster-up ## Build the images that changed and push them to the cluster's registry
	$(CLUSTER_TOOL) images
