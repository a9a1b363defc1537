#!/usr/bin/env bash
# Installs what is missing of packaging/apt-packages.txt: `install-packages.sh dev`, `install-packages.sh test`
# (which includes dev) or `install-packages.sh bench` (which includes test). With everything in place it does nothing and
# needs no network.
set -euo pipefail
cd "$(dirname "$0")"

case "${1:-}" in
  dev) wanted='$2 == "dev"' ;;
  test) wanted='$2 == "dev" || $2 == "test"' ;;
  bench) wanted='$2 == "dev" || $2 == "test" || $2 == "bench"' ;;
  *)
    echo "usage: $0 dev|test|bench" >&2
    exit 2
    ;;
esac
mapfile -t rows < <(awk "!/^#/ && ($wanted) { print \$1, \$3 }" apt-packages.txt)
packages=()
for row in "${rows[@]}"; do
  read -r package program <<<"$row"
  [ -n "$program" ] && command -v "$program" >/dev/null || packages+=("$package")
done
[ "${#packages[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "packages: this is not Debian or Ubuntu, so nothing is installed; needed are: ${packages[*]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

echo "packages: installing ${missing[*]}"
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
  echo "packages: not root and no sudo; as root run: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# zpack starts servers of its own. This keeps the packages from starting theirs while they are installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
fi

as_root apt-get update --quiet=2 </dev/null || echo "packages: the package lists could not be refreshed" >&2
as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
  -o DPkg::Lock::Timeout=120 "${missing[@]}" </dev/null
