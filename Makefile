# CloudJIT. "make demo" shows it; "make test" tests it; the rest is below.
SHELL      := /bin/bash
GO         ?= go
JDK         = $(shell scripts/find-jdk 25)
MVN         = JAVA_HOME=$(JDK) MAVEN_OPTS="--enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow" scripts/mvn -q -B
CACHE      ?= $(or $(CLOUDJIT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cloudjit)
ASSETS     := internal/assets/files
JAVA_SRC   := $(shell find java/runtime java/tracer java/image -path '*/target' -prune -o -type f -print 2>/dev/null) java/pom.xml
export CGO_ENABLED := 0
export CLOUDJIT_CACHE := $(CACHE)

.PHONY: build
build: prerequisites assets ## Leave bin/cloudjit, and CRIU in the cache where it can be had.
	$(GO) build -trimpath -o bin/cloudjit ./cmd/cloudjit
	@bin/cloudjit toolchain install criu >/dev/null || echo "going on without snapshots" >&2

.PHONY: prerequisites
prerequisites:
	@scripts/prerequisites

.PHONY: assets
assets: prerequisites $(ASSETS)/runtime.jar $(ASSETS)/guest-agent

# The first process of microVMs. Small, since all of it stays in each guest's memory.
$(ASSETS)/guest-agent: $(shell find cmd/cloudjit-guest internal/worker/microvm/agent internal/worker/microvm/wire -name '*.go' 2>/dev/null) go.sum
	$(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $@ ./cmd/cloudjit-guest

$(ASSETS)/runtime.jar: $(JAVA_SRC)
	@echo "building the runtime client, the tracer and what takes part in builds" >&2
	$(MVN) -f java/pom.xml -pl runtime,tracer,image -am package -DskipTests
	cp java/runtime/target/lib/aws-lambda-java-serialization.jar $(ASSETS)/serialization.jar
	cp java/tracer/target/tracer.jar $(ASSETS)/tracer.jar
	cp java/image/target/image.jar $(ASSETS)/image.jar
	cp java/runtime/target/runtime.jar $(ASSETS)/runtime.jar

.PHONY: demo
demo: build samples ## A real function optimizes itself; results in out/demo.json.
	scripts/demo

# A trace in the place of a generated one: make replay TRACE=FOLDER. More flags: REPLAYFLAGS.
.PHONY: replay
replay: build samples ## 30 minutes of a trace against a live platform, twice, and simulated; an hour, report in out/replay.
	bin/cloudjit toolchain install
	bin/cloudjit replay $(or $(TRACE),--generate) --keep 40 --busy 0.1 --report out/replay $(REPLAYFLAGS)

.PHONY: samples
samples: prerequisites ## The sample functions that the demo, the replay and the tests run.
	$(MVN) -f java/samples/pom.xml -pl orders,hello-web,work package

.PHONY: applications
applications: prerequisites ## The real applications: Tika on Quarkus, Petclinic on Spring Boot, Shopcart on Micronaut.
	$(MVN) -f java/samples/pom.xml -Papplications -pl documents,petclinic,shopcart package

.PHONY: figures
figures: build applications ## Measure the paper's Figures 1 and 2 and Table 1; report in out/figures.
	bin/cloudjit toolchain install
	bin/cloudjit bench all --report out/figures

.PHONY: test
test: build samples jdk-features test-prerequisites ## Everything that CI tests.
	@bin/cloudjit toolchain install >/dev/null || echo "going on without native binaries" >&2
	$(MVN) -f java/pom.xml -pl runtime,tracer,image -am verify
	CGO_ENABLED=1 $(GO) test $(TESTFLAGS) -race -short ./internal/engine/... ./internal/pipeline/... ./internal/pool/... ./internal/policy/... ./internal/node/... ./internal/guest/... ./internal/logs/... ./internal/artifact/...
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) -timeout 40m ./...
	$(GO) -C release vet ./...
	$(GO) -C release test $(TESTFLAGS) -timeout 20m ./...
	$(GO) -C deploy/chart test -timeout 20m ./...

.PHONY: test-prerequisites
test-prerequisites:
	@scripts/prerequisites test

.PHONY: fresh
fresh: ## In a Debian root with Go and make alone: the build, the samples, a builder, a function. Takes minutes; needs root.
	scripts/fresh $(if $(RUN),'$(RUN)')

.PHONY: guest
guest: build guest-prerequisites ## The guest of microVMs (workers.driver: qemu), in the cache, and its monitor. KERNEL=small compiles a small kernel.
	bin/cloudjit guest build $(if $(KERNEL),--kernel $(KERNEL))

.PHONY: test-microvm
test-microvm: assets guest-prerequisites ## The tests of workers in virtual machines alone, as make test has them. Another kernel: KERNEL=small.
	CLOUDJIT_MICROVM_KERNEL=$(KERNEL) $(GO) test -count=1 -v -timeout 60m ./internal/worker/microvm/...

# A release's program, or one that was built from its source: make test-firecracker FIRECRACKER=/path/to/firecracker
.PHONY: test-firecracker
test-firecracker: assets firecracker-prerequisites ## The same on a real Firecracker, FIRECRACKER=PROGRAM, in a machine whose KVM is emulated. Takes 16 minutes.
	scripts/test-firecracker '$(FIRECRACKER)'

.PHONY: firecracker-prerequisites
firecracker-prerequisites:
	@scripts/prerequisites firecracker

.PHONY: guest-prerequisites
guest-prerequisites:
	@scripts/prerequisites $(if $(filter small,$(KERNEL)),kernel,guest)

.PHONY: page
page: ## Make the page's bundle anew from internal/ui/src.
	UPDATE=1 $(GO) test -count=1 ./internal/ui -run TestBundle

.PHONY: bench
bench: build ## Benchmarks: minimum and median, ratios against a reference in the same run.
	scripts/bench

.PHONY: library-table
library-table: assets ## Popular libraries traced, built and compared; writes docs/library-table.md. Takes 20 minutes; goes on where it was.
	$(MVN) -f internal/libtable/java/pom.xml package
	CLOUDJIT_LIBRARY_TABLE=$(CACHE)/library-table $(GO) test -count=1 -v -timeout 3h -run TestLibraryTable ./internal/libtable

# Packages are those of internal/aot/snapshot/testdata/libraries, for the Python that the tests have.
LANGUAGE_LIBRARIES := $(CACHE)/language-libraries
.PHONY: language-library-table
language-library-table: build test-prerequisites ## Popular Python and Node.js packages, plain and restored; writes docs/library-table-languages.md. Takes five minutes.
	mkdir -p $(LANGUAGE_LIBRARIES)/nodejs
	$(CACHE)/python/current/bin/python3 -m pip install -q --upgrade --target $(LANGUAGE_LIBRARIES)/python numpy pandas scipy pyarrow requests boto3 pydantic pillow \
		cryptography sqlalchemy jinja2 lxml pyyaml httpx aiohttp attrs orjson msgpack protobuf psycopg2-binary python-dateutil fastapi mangum beautifulsoup4 simplejson
	npm install --prefix $(LANGUAGE_LIBRARIES)/nodejs --no-audit --no-fund express serverless-http sharp @aws-sdk/client-s3 @aws-sdk/client-dynamodb lodash axios uuid nanoid \
		moment dayjs zod ajv joi jsonwebtoken bcryptjs winston pino rxjs pg ioredis cheerio date-fns
	CLOUDJIT_LANGUAGE_LIBRARIES=$(LANGUAGE_LIBRARIES) $(GO) test -count=1 -v -timeout 30m -run TestLibraryTable ./internal/aot/snapshot

.PHONY: features
features: prerequisites ## The corpus of small features whose answers are compared.
	$(MVN) -f internal/answers/java/pom.xml package

.PHONY: jdk-features
jdk-features: prerequisites
	$(MVN) -f internal/answers/java/pom.xml -pl common,jdk package

# A part alone: make same-answers GROUP=jdk RUNG=native-not-traced
.PHONY: same-answers
same-answers: build features ## Every feature of the corpus on every rung; writes docs/same-answers.md. Takes hours; goes on where it was.
	bin/cloudjit toolchain install
	CLOUDJIT_SAME_ANSWERS=$(CACHE)/same-answers CLOUDJIT_SAME_ANSWERS_GROUP=$(GROUP) CLOUDJIT_SAME_ANSWERS_RUNG=$(RUNG) $(GO) test -count=1 -v -timeout 5h -run TestSameAnswers ./internal/answers

.PHONY: acceptance
acceptance: prerequisites ## The assembled builder's probe against HotSpot; for every change of a pinned version. Takes minutes.
	CLOUDJIT_ACCEPTANCE=1 $(GO) test -count=1 -v -timeout 60m -run 'Acceptance|AssembleKilled' ./internal/toolchain

.PHONY: chaos-nodes
chaos-nodes: assets ## Kill nodes of a cluster under load, 30 times at random.
	CLOUDJIT_NODE_KILLS=30 $(GO) test ./internal/server -run TestNodesDie -count=1 -v -timeout 30m

# A failing run is the same again with its seed: make chaos SEED=n. Shorter: CHAOSTIME=30s.
.PHONY: chaos
chaos: assets ## Ten minutes of everything that goes wrong, at random from SEED.
	CLOUDJIT_SEED=$(or $(SEED),1) CLOUDJIT_CHAOS=$(or $(CHAOSTIME),10m) $(GO) test -count=1 -v -timeout 30m -run '^TestChaos$$' ./internal/server

.PHONY: load
load: assets ## Floods and crowds in full: thousands of workers, clients, connections and events; prints what they take.
	CLOUDJIT_LOAD=full CLOUDJIT_FLOOD=full $(GO) test -count=1 -v -timeout 60m -run '^(TestManyWorkers|TestManyClients|TestStartWithBacklog|TestFloodsOfOthers|TestFloods)$$' ./internal/server

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (10s) each.
	scripts/fuzz

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: lint
lint: ## The rules of .golangci.yml; without golangci-lint: format, vet and staticcheck.
	@if command -v golangci-lint >/dev/null; then set -x; golangci-lint run; else set -ex; \
		test -z "$$(gofmt -l *.go cmd internal release | tee /dev/stderr)"; $(GO) vet ./...; $(GO) run $(STATICCHECK) ./...; fi

# Another version, one architecture, another base of the image: make release RELEASEFLAGS="-version 0.2.0 -arches amd64 -base debian:trixie-slim"
.PHONY: release
release: assets release-prerequisites ## Debian packages, an OCI image, archives, checksums and SBOMs in out/release.
	$(GO) -C release run . $(RELEASEFLAGS)

.PHONY: release-prerequisites
release-prerequisites:
	@scripts/prerequisites release

.PHONY: clean
clean:
	rm -rf bin out $(ASSETS)/*.jar $(ASSETS)/guest-agent java/*/target java/samples/*/target

.PHONY: help
help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'
