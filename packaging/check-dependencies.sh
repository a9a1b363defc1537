#!/usr/bin/env bash
# Licences, bans, sources and advisories of the dependency tree, as deny.toml has them, and which of it was checked.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "dependencies: cargo-deny is not installed; the ratchet tests check licences and bans, advisories are NOT checked"
  exit 0
fi
cargo deny --locked check bans licenses sources
if cargo deny --locked check --disable-fetch advisories; then
  echo "dependencies: licences, bans, sources and advisories checked (advisories as last fetched)"
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*" >/dev/null; then
  exit 1
else
  echo "dependencies: licences, bans and sources checked; advisories are NOT checked (run: cargo deny fetch)"
fi
