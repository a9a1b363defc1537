#!/usr/bin/env bash
# Installs packaging/python-packages.txt into .python/. With everything in place it does nothing and needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.python
list=packaging/python-packages.txt
cmp --silent "$list" "$venv/installed.txt" && exit 0

echo "python: installing $(grep -v '^#' "$list" | tr '\n' ' ')into $venv/"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list" </dev/null; then
  echo "python: not installed, is there a network? Tests that need them fail and say so." >&2
  # CI has a network; elsewhere the other tests can run.
  [ -z "${CI:-}" ] && exit 0
  exit 1
fi
cp "$list" "$venv/installed.txt"
