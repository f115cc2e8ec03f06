PYTHON ?= python3
LAUNCH := $(PYTHON) treasury/launch/bootstrap.py

.PHONY: run test lint bench campaign screenshots locks

run: ## the whole product on http://localhost:8000 (another port: make run PORT=8001)
	@$(LAUNCH) run

test: lint ## every check and every test; arguments for pytest: make test ARGS="-k audit"
	@$(LAUNCH) test $(ARGS)

lint:
	@$(LAUNCH) lint

bench:
	@$(LAUNCH) bench $(ARGS)

RUNS ?= 1000
FLY = --runs $(RUNS) $(if $(FROM),--from $(FROM)) $(if $(SEED),--seed $(SEED)) $(if $(SCALE),--scale $(SCALE))

campaign: ## transfers while everything breaks: RUNS=10000, FROM=<run> goes on, SEED=, SCALE=; docs/reliability.md
	@$(LAUNCH) campaign $(FLY) $(ARGS)

screenshots:
	@$(LAUNCH) screenshots $(ARGS)

EXPORT := .venv/bin/python -m uv export --quiet --frozen --no-emit-project --no-header --no-annotate --format requirements-txt

locks: ## after a change of pyproject.toml: uv.lock, from it the two files that pip installs, and docs/sbom.json
	.venv/bin/python -m uv lock
	$(EXPORT) --no-dev --output-file requirements.lock
	$(EXPORT) --group dev --output-file requirements-dev.lock
	.venv/bin/python -m treasury.launch.sbom
