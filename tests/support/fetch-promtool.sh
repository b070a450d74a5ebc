#!/usr/bin/env bash
# fetch-promtool.sh DIRECTORY: unpacks promtool of Debian's package prometheus into DIRECTORY, without
# installing the server. Nothing is done if it is there, or in PATH.
set -euo pipefail

target="$1"
if [ -x "$target/promtool" ] || command -v promtool > /dev/null 2>&1; then exit 0; fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -o Acquire::Retries=3 download prometheus 2> /dev/null) >&2
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" ./usr/bin/promtool
mkdir -p "$target"
install -m 755 "$work/usr/bin/promtool" "$target/promtool"
