# `make demo` and `make test` are the two commands to begin with; `make help` lists the others.

DURATION ?=
HOURS ?=
CYCLES ?=
SCENARIOS ?=

.PHONY: help setup build demo test bench api-test soak coverage audit crds images cluster cluster-down e2e

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Installs what is missing: Debian packages and the ONNX Runtime library
	@scripts/setup.sh

build: setup ## Builds the programs
	@cargo build --release --locked -p analytics-pod -p camera-simulator

demo: build ## Four simulated cameras, watched live (DURATION=20 ends by itself)
	@scripts/demo.sh $(DURATION)

test: setup ## Format, lints, licences and every test
	@scripts/test.sh

bench: build ## Measures the pod against its targets and its peers (DURATION=600 for the long form)
	@e2e/bench/run.sh $(DURATION)

api-test: build ## Holds the API against its description (DURATION=500 requests an operation for the long form)
	@e2e/api/run.sh $(DURATION)

soak: build ## Watches failing cameras (HOURS=1, fractions too), adds and removes sources (CYCLES=2000)
	@cargo build --release --locked -p soak
	@target/release/soak $(if $(HOURS),--hours $(HOURS)) $(if $(CYCLES),--cycles $(CYCLES))

coverage: setup ## Tests' coverage of lines by room; fails where it is too low
	@scripts/coverage.sh

audit: setup ## Checks the dependencies against the RustSec advisories (needs the network)
	@"$$(scripts/tools.sh cargo-deny)/cargo-deny" check

crds: ## Writes the resources' YAML anew from the Rust types, and what the chart makes of it (needs Go)
	@cargo run --quiet -p operator -- crds > crds/generated/vision-operator.dev.yaml
	@cp crds/generated/vision-operator.dev.yaml helm/files/crds.yaml
	@e2e/chart/deploy.sh

images: ## Builds the container images with buildah or docker (VISION_BINARIES=FOLDER takes programs that are built already)
	@deploy/images/build.sh

cluster: ## Starts a Kubernetes of two nodes on this machine, as root, with the images loaded
	@e2e/cluster/up.sh

e2e: ## The scenarios on the cluster of KUBECONFIG or of make cluster (SCENARIOS="drain chaos", DURATION=1800 for rest and chaos, SEED=7)
	@e2e/scenarios.sh $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(SCENARIOS)

cluster-down: ## Ends it, and everything that it started
	@e2e/cluster/down.sh
