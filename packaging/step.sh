#!/usr/bin/env bash
# Runs one step of `make test` and records how long it took: `step.sh <name> <command> [argument…]`.
# `step.sh --begin` forgets the steps of the last run; `step.sh --summary` prints those of this one.
set -euo pipefail
cd "$(dirname "$0")/.."
times=target/steps.txt

summary() {
  echo "where the time went:"
  awk '{ total += $1; printf "  %-14s %6d s\n", $2, $1 } END { printf "  %-14s %6d s\n", "all", total }' "$times"
}

case "$1" in
--begin)
  mkdir -p target
  : >"$times"
  ;;
--summary) summary ;;
*)
  name=$1
  shift
  echo "== $name: $*"
  began=$SECONDS
  status=0
  "$@" || status=$?
  echo "$((SECONDS - began)) $name" >>"$times"
  if [ "$status" -ne 0 ]; then
    summary
    echo "== $name failed with $status" >&2
    exit "$status"
  fi
  ;;
esac
