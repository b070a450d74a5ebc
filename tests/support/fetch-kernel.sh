#!/usr/bin/env bash
# fetch-kernel.sh DIRECTORY: unpacks a kernel of Debian's from Linux 6.12 on, with its modules, into
# DIRECTORY, without installing it. Nothing is done if there is one already.
set -euo pipefail

target="$1"
if compgen -G "$target/boot/vmlinuz-*" > /dev/null && compgen -G "$target/lib/modules/*/modules.dep" > /dev/null; then
  exit 0
fi

# The image for clouds is half as large; from Debian 13 on the ordinary name is new enough.
for name in linux-image-6.12-cloud-amd64 linux-image-cloud-amd64; do
  package="$(apt-cache depends "$name" 2> /dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)"
  case "$package" in linux-image-6.1.*) package="" ;; esac
  if [ -n "$package" ]; then break; fi
done
if [ -z "${package:-}" ]; then
  echo "fetch-kernel.sh: cannot find a kernel package: no linux-image-6.12-cloud-amd64 in the package lists" >&2
  exit 1
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -o Acquire::Retries=3 download "$package" 2> /dev/null) >&2
dpkg-deb -x "$work"/*.deb "$work/root"
version="$(ls "$work/root/lib/modules" 2> /dev/null || ls "$work/root/usr/lib/modules")"
if [ -d "$work/root/usr/lib/modules" ]; then
  mkdir -p "$work/root/lib"
  mv "$work/root/usr/lib/modules" "$work/root/lib/modules"
fi
PATH="$PATH:/usr/sbin:/sbin" depmod -b "$work/root" "$version"
mkdir -p "$target/lib"
cp -r "$work/root/boot" "$target/"
cp -r "$work/root/lib/modules" "$target/lib/"
chmod -R a+rX "$target"
