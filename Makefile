# Every target makes what it needs: .venv (pinned wheels) and install/ (generated messages). See .ci/setup.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: ## make .venv and install/ ready (the others do it too)
	@.ci/setup

demo: setup ## play the sample scene and write a report into demo_output/
	@.ci/shell instascene demo $(ARGS)

test: setup ## lint and run every test, two at a time; ARGS="-k word" chooses
	@.ci/shell ruff check --output-format concise .
	@.ci/shell python -m pytest tests -c tests/pytest.ini -n 2 $(ARGS)

lint: setup ## check style
	@.ci/shell ruff check --output-format concise .

bench: setup ## measure against the budgets
	@.ci/shell instascene bench $(ARGS)

lock: ## renew the pinned requirements*.txt (needs uv)
	@.ci/lock

clean: ## remove everything that was made here
	rm -rf .venv build install log demo_output .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
