#!/usr/bin/env bash
# stand_in_base.sh TAG: a base image for hosts that reach no image registry. Debian 12 with its own Python 3.11, made by
# debootstrap and buildah; `python` and `pip` are what they are in Python's official images. Needs root.
set -euo pipefail

tag=$1
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

if buildah inspect --type image "$tag" >/dev/null 2>&1; then
  echo "$tag is here already."
  exit
fi
container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$root" "$mirror"
ln -s python3 "$root/usr/bin/python"
rm "$root"/usr/lib/python3.*/EXTERNALLY-MANAGED
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
buildah umount "$container" >/dev/null
buildah config --cmd python "$container"
buildah commit "$container" "$tag"
