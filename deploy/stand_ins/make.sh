#!/usr/bin/env bash
# make.sh TAG: one image in the place of PostgreSQL's, Redis's and versitygw's, for hosts that reach no image registry.
# Debian 13's PostgreSQL 17 and Redis 8, and moto's S3; made by debootstrap, imported into Docker. Needs root.
# debootstrap does not follow packages that others provide, so python3-cffi-backend is named.
set -euo pipefail

tag=$1
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=ca-certificates,postgresql-17,redis-server,python3-cffi-backend,python3-flask-cors,python3-moto,python3-yaml,wget

if docker image inspect "$tag" >/dev/null 2>&1; then
  echo "$tag is here already."
  exit
fi
root=$(mktemp -d)
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase --include="$packages" trixie "$root" "$mirror"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/lib/postgresql/*
install -D -m 0755 "$(dirname "$0")/entrypoint.sh" "$root/stand-ins/entrypoint.sh"
install -m 0644 "$(dirname "$0")/s3.py" "$root/stand-ins/s3.py"
tar --directory "$root" --one-file-system --create . | docker import \
  --change 'ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENTRYPOINT ["/stand-ins/entrypoint.sh"]' --change 'CMD ["postgres"]' - "$tag"
