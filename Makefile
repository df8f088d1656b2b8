# The only commands a newcomer needs: `make run`, `make test`, `make dev`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifeq ($(strip $(DAGSTER_HOME)),)
DAGSTER_HOME := $(CURDIR)/.traveltide/dagster
endif
export DAGSTER_HOME

.PHONY: run check unit test test-servers test-container test-spark image browser java dev lint docs pictures lock calibration experiment learning bench bench-spark bench-growth hardening sbom audit clean clean-data

run: $(VENV)/installed
	$(BIN)/traveltide run

test: $(VENV)/installed browser
	$(BIN)/pytest -m "(unit or integration) and not servers"

# Takes some minutes: Dagster's servers with a browser, a database that is killed and restarted, S3.
test-servers: $(VENV)/installed browser
	$(BIN)/pytest -n 2 -m "servers and not container"

# Builds and runs the image without a registry. Takes some minutes, needs root and Debian's tools.
test-container: $(VENV)/installed
	@command -v buildah >/dev/null && command -v mmdebstrap >/dev/null \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y --no-install-recommends buildah crun mmdebstrap curl iproute2 >/dev/null; } \
		|| echo "no buildah or mmdebstrap here and no right to install them: the image will not be tested"
	$(BIN)/pytest -n 0 -m container

# `make image BUILDER=docker BASE=…` selects another builder or base. Podman needs the format to
# include the health check; docker ignores it.
BUILDER ?= podman
image: $(VENV)/installed
	PYTHON=$(BIN)/python deploy/collect.sh dist/image
	BUILDAH_FORMAT=docker $(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) --tag localhost/traveltide --file deploy/Containerfile dist/image

# A test opens the report in a real browser. Without a browser it is skipped, with a message.
browser:
	@command -v chromium >/dev/null \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } \
		|| echo "no chromium here and no right to install it: browser tests will be skipped"

# Compares Sail, a Spark cluster of three processes and a server of Spark Connect with DuckDB.
test-spark: $(VENV)/spark java
	$(BIN)/pytest -n 0 -m spark

java:
	@command -v java >/dev/null \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y openjdk-17-jre-headless >/dev/null; } \
		|| echo "no Java here and no right to install it: of the tests on Spark, those on Sail will run"

dev: $(VENV)/installed
	umask 077; mkdir -p "$(DAGSTER_HOME)"
	test -f "$(DAGSTER_HOME)/dagster.yaml" || cp traveltide_assets/defs/instance/dagster.yaml "$(DAGSTER_HOME)"
	umask 077; DAGSTER_HOME="$$(realpath "$(DAGSTER_HOME)")" $(BIN)/dagster dev

# What every commit should pass, in under a minute: style, types, import rules and unit tests.
check: $(VENV)/installed
	$(MAKE) --jobs 2 --output-sync=target unit lint

# By folder, since a mark would import every other test first.
unit: $(VENV)/installed
	$(BIN)/pytest --dist worksteal traveltide_assets_tests/unit

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	DAGSTER_HOME= $(BIN)/dg check defs

# Renders docs/reference/ from the code.
docs: $(VENV)/installed
	$(BIN)/python -m tools.reference

# Takes the pictures of the docs from a run on the generated sample.
pictures: $(VENV)/installed browser
	$(BIN)/python -m tools.pictures

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(VENV)/installed
	$(BIN)/$(COMPILE) --upgrade --extra build --extra ui --extra test \
		pyproject.toml --output-file requirements.lock
	$(BIN)/$(COMPILE) --extra spark --constraint requirements.lock \
		pyproject.toml --output-file requirements-spark.lock
	$(BIN)/$(COMPILE) --extra ui --constraint requirements.lock \
		pyproject.toml --output-file deploy/requirements.lock

# The bill of materials of requirements.lock, as CycloneDX; the same lock gives the same bytes.
sbom: $(VENV)/installed
	mkdir -p dist
	$(BIN)/python -m tools.sbom > dist/sbom.json

# Known vulnerabilities of what is pinned. Skipped, with a message, without a network.
audit: $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tools.audit

calibration: $(VENV)/installed
	$(BIN)/python -m benchmarks.calibration

experiment: $(VENV)/installed
	$(BIN)/python -m benchmarks.experiment

# False promotions, coverage, planted traits, weekly looks and allocation. Hours with REPETITIONS=200.
REPETITIONS ?= 20
learning: $(VENV)/installed
	$(BIN)/python -m benchmarks.learning --repetitions $(REPETITIONS)

# Compares all ways from the raw tables to perks, and prints a line per goal. REAL=FOLDER also runs it.
USERS ?= 1020926
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.scale --users $(USERS) $(if $(REAL),--real $(REAL))

# Bronze to features on DuckDB, Sail and Spark, with damaged rows, and a line per goal.
bench-spark: $(VENV)/spark java
	$(BIN)/python -m benchmarks.spark_cost --users 20000 100000

# Ten million users take about 30 GB of disk, plus the space for spilled data.
bench-growth: $(VENV)/installed
	$(BIN)/python -m benchmarks.scale --growth 100000 1000000 10000000

# Attacks the system, and prints what was tried and survived. Takes an hour; needs root for full disks.
hardening: $(VENV)/installed
	$(BIN)/python -m benchmarks.hardening

# What the next command makes again by itself. Lakes and the history of runs stay.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis \
		.traveltide/cache .traveltide/sample .traveltide/scratch .traveltide/staging

# Also all results: the lakes in this folder and the history of their runs.
clean-data: clean
	rm -rf .traveltide lake lake-sample

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/spark: $(VENV)/installed requirements-spark.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.lock
	touch $@
