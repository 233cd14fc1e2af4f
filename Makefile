# Each target is a line or two of the tool that does the work.

# Most tests wait for something most of the time.
export RUST_TEST_THREADS ?= 6

BIN := $(or $(CARGO_TARGET_DIR),target)/debug
CHART := charts/authentik-stage-operator

# How long each target is fuzzed.
FUZZ_SECONDS ?= 20

IMAGE ?= authentik-stage-operator:dev
# The first whose engine answers.
ENGINE ?= $(shell for engine in docker podman buildah; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)
# What the image is for: linux/amd64 or linux/arm64. Omitted: this machine.
PLATFORM ?= linux/$(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))
BUILD := target/image/$(notdir $(PLATFORM))

# A command that gives the nodes of a cluster an image, from an archive that it takes as its last argument; for a kind
# cluster of another name, `kind load image-archive --name NAME`.
LOAD_IMAGE ?= kind load image-archive

# What a release consists of, what it is for, and where image and chart are published.
RELEASE := target/release-artefacts
ARCHITECTURES ?= amd64 arm64
REGISTRY ?= registry.example.com
# What lists the parts of a program: another version may list them otherwise.
CYCLONEDX := 0.5.9
# The time of all files of a release: the commit's, or 1970 where these sources are not in Git.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: ## watch the operator work, with a simulated authentik; ARGS go to the demo
	cargo build --locked --workspace --bins
	$(BIN)/dev demo $(ARGS)

recording: ## record the demo for the README
	cargo build --locked --workspace --bins
	$(BIN)/dev record > docs/demo.svg.new
	mv docs/demo.svg.new docs/demo.svg

test: ## run all tests; the first run builds etcd, Kubernetes, Helm, promtool, actionlint and a part of Flux, which takes minutes
	cargo test --locked --workspace --no-run
	$(BIN)/dev kubernetes build
	$(BIN)/dev gitops build
	cargo test --locked --workspace

test-oldest-kubernetes: export KUBERNETES := oldest
test-oldest-kubernetes: ## also test operator and chart with the oldest supported Kubernetes, which the first run builds in minutes
	cargo test --locked --workspace --test kubernetes --test chart --test cluster --no-run
	$(BIN)/dev kubernetes build
	cargo test --locked --workspace --test kubernetes --test chart --test cluster

test-gitops: ## also test with Argo CD, which the first run builds in minutes; needs redis-server
	cargo test --locked --test cluster -- --include-ignored gitops argo_cd

test-faults: ## test what becomes of 200 random histories with faults and kills; FAULT_SEED=n replays one
	FAULT_SEEDS=$(or $(FAULT_SEEDS),$(if $(FAULT_SEED),1,200)) cargo test --locked --test cluster faults

test-authentik: ## run the cluster tests against the authentik at AUTHENTIK_URL with AUTHENTIK_TOKEN
	@: "$${AUTHENTIK_URL:?must be the base URL of an authentik to test against}"
	@: "$${AUTHENTIK_TOKEN:?must be an API token of that authentik}"
	cargo test --locked --test cluster

test-cluster: NATIVE := $(notdir $(PLATFORM))
test-cluster: ## test the release on the cluster of KUBECONFIG, which has to be there for testing; LOAD_IMAGE gives it images
	@: "$${KUBECONFIG:?must name the kubeconfig file of a cluster to test on}"
	$(MAKE) release ARCHITECTURES=$(NATIVE) REGISTRY=localhost
	dev/image/simulator target/image/simulator
	$(BIN)/dev image --files target/image/simulator --architecture $(NATIVE) --entrypoint /simulator --entrypoint simulator \
		--name localhost/authentik-simulator:test --output target/image/simulator.tar
	dev/image/previous $(NATIVE) localhost/authentik-stage-operator:previous target/image/previous.tar
	$(LOAD_IMAGE) $(RELEASE)/authentik-stage-operator-*-image.tar
	$(LOAD_IMAGE) target/image/previous.tar
	$(LOAD_IMAGE) target/image/simulator.tar
	cargo test --locked --test on_cluster -- --include-ignored --test-threads 1

fuzz: ## feed each target of fuzz/ with nonsense for FUZZ_SECONDS; needs a nightly toolchain and a C++ compiler
	@cargo +nightly --version >/dev/null || rustup toolchain install nightly --profile minimal
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run --sanitizer none $$target -- -max_total_time=$(FUZZ_SECONDS) || exit; done

bench: ## measure the release build with 100, 1,000 and 10,000 resources of all kinds and beside sick servers, for more than an hour; ARGS choose, such as --sizes 100 --kinds validate --latency off
	cargo build --locked --release --bin authentik-stage-operator
	cargo build --locked --release --package authentik-stage-operator-dev
	$(BIN:debug=release)/dev bench $(ARGS)

image: ## build the image IMAGE for PLATFORM with docker, podman or buildah (or ENGINE)
	@: $(or $(ENGINE),$(error docker, podman or buildah is needed to build an image))
	dev/image/build $(notdir $(PLATFORM)) $(BUILD)/files
	$(ENGINE) build --platform $(PLATFORM) --build-context build=$(BUILD) --tag $(IMAGE) .

release: ## build all that a release consists of into target/release-artefacts, for ARCHITECTURES and to be published in REGISTRY
	@cargo cyclonedx --version 2>/dev/null | grep -qw $(CYCLONEDX) || cargo install --locked cargo-cyclonedx@$(CYCLONEDX)
	@for architecture in $(ARCHITECTURES); do \
		dev/image/build $$architecture target/image/$$architecture/files || exit; done
	cargo build --locked --workspace --bins
	$(BIN)/dev release --registry $(REGISTRY) $(ARCHITECTURES:%=--architecture %) --files target/image \
		--epoch $(SOURCE_DATE_EPOCH) --commit $(or $(shell git rev-parse HEAD 2>/dev/null),unknown) --output $(RELEASE)

test-release: ## test that two clones make the same release, for ARCHITECTURES, and that it can be published, signed and verified
	dev/release/test "$(ARCHITECTURES)"

publish: ## push image and chart of target/release-artefacts to REGISTRY; crane and helm have to be logged in there
	dev/release/publish $(RELEASE) $(REGISTRY)

sign: ## sign target/release-artefacts and what of it is in REGISTRY: with COSIGN_KEY, or else as the workflow that runs
	dev/release/sign $(RELEASE) $(REGISTRY)

verify: ## check target/release-artefacts: checksums, and the signatures with COSIGN_PUBLIC_KEY, or of the workflows that SIGNER names; with REGISTRY also what is there
	dev/release/verify $(RELEASE) $(if $(filter $(origin REGISTRY),file default),,$(REGISTRY))

# By the shell and not by make, for a tag's name may hold whatever a shell reads.
release-notes: ## write what CHANGELOG.md says of the release of TAG, which has to be of this version, to target/release-notes.md
	@: "$${TAG:?must be the tag of the release, such as v0.1.0}"
	cargo build --locked --workspace --bins
	$(BIN)/dev release-notes "$$TAG" > target/release-notes.md

github-release: ## make a release of TAG on GitHub, with target/release-notes.md and what is in target/release-artefacts; needs gh
	@: "$${TAG:?must be the tag of the release, such as v0.1.0}"
	gh release create "$$TAG" --verify-tag --title "$$TAG" --notes-file target/release-notes.md target/release-artefacts/*

generate: ## write what is generated from the code
	cargo build --locked --workspace --bins
	$(BIN)/authentik-stage-operator crds --output-dir crds
	$(BIN)/authentik-stage-operator crds --output-dir $(CHART)/files/crds
	$(BIN)/authentik-stage-operator rbac --output-dir $(CHART)/files/rbac
	$(BIN)/dev reference > docs/reference.md
	$(BIN)/dev certificates > dev/image/ca-certificates.crt
	$(BIN)/dev chart metadata
	$(BIN)/dev chart readme > $(CHART)/README.md
	$(BIN)/dev chart manifests > deploy/operator.yaml
	$(BIN)/dev gitops write

check: ## check format, lints and, where cargo-deny is installed, dependencies; for known vulnerabilities where their database can be fetched
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if ! command -v cargo-deny >/dev/null; then echo 'cargo-deny is not installed: dependencies are not checked'; \
	elif cargo deny --log-level off fetch db; then set -x; cargo deny check; \
	else echo 'the advisory database can not be fetched: dependencies are not checked for known vulnerabilities'; \
		set -x; cargo deny check bans licenses sources; fi

.PHONY: help demo recording test test-oldest-kubernetes test-gitops test-faults test-authentik test-cluster fuzz bench image release test-release publish sign verify release-notes github-release generate check
