#!/usr/bin/env bash
# Checks the units without installing them: they parse, what they name exists, and the sandbox holds.
set -euo pipefail
cd "$(dirname "$0")"

# Exposure as `systemd-analyze security` computes it, in tenths: 20 is 2.0.
max_exposure=20

units=(zpack-api.service zpack-provision-worker.service zpack-repair-worker.service zlh-controller.service
  zpack-billing-worker.service zpack-migrate.service)

if ! command -v systemd-analyze >/dev/null; then
  echo "systemd units: not checked (no systemd-analyze on this machine)"
  exit 0
fi

failed=0
fail() {
  echo "systemd units: $*" >&2
  failed=1
}

# What the units mention is looked up in a root of our own, where the program is installed.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/usr/bin" "$root/usr/lib/systemd" "$root/etc/systemd/system"
ln -s usr/lib "$root/lib"
printf '#!/bin/sh\n' >"$root/usr/bin/zpack"
chmod +x "$root/usr/bin/zpack"
cp -a /lib/systemd/system "$root/usr/lib/systemd/"
cp ./*.service ./*.target "$root/etc/systemd/system/"

said=$(systemd-analyze verify --root="$root" --man=no --recursive-errors=no "${units[@]}" zpack.target 2>&1) ||
  fail "verify failed: $said"
[ -z "$said" ] || fail "verify complains: $said"

for unit in "${units[@]}"; do
  report=$(systemd-analyze security --offline=true --root="$root" --no-pager --threshold="$max_exposure" "$unit" 2>&1) ||
    fail "$unit is too exposed: $(tail -n 1 <<<"$report")"
done

# One sandbox for all: a line that is relaxed in one unit only is a mistake.
sandbox() { sed -n '/^# Sandbox/,/^$/{/./p}' "$1"; }
[ -n "$(sandbox "${units[0]}")" ] || fail "${units[0]} has no sandbox"
for unit in "${units[@]}"; do
  diff <(sandbox "${units[0]}") <(sandbox "$unit") || fail "the sandbox of $unit differs from that of ${units[0]}"
done

[ "$failed" = 0 ] && echo "systemd units: ${#units[@]} verified, exposure at most $((max_exposure / 10)).$((max_exposure % 10))"
exit "$failed"
