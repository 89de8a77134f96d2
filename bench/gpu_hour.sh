#!/bin/bash
# The first hour on a GPU, unattended, in 9 minutes: one GPU, a Python that has torch with CUDA, no network.
#
#   bench/gpu_hour.sh pack packages.tar.xz [--python 3.12] [--cuda 130]
#       On a machine with a network: packs what such an image lacks, for that Python, and says how large it is (< 60 MB).
#   OUT=results bench/gpu_hour.sh [packages.tar.xz] [STAGE…]
#       On the GPU host. Without the file, the packages must be installed. Results: $OUT/gpu_hour.json and gpu_hour.txt.
#   GPU_HOUR_DEVICE=cpu bench/gpu_hour.sh [packages.tar.xz] [STAGE…]
#       A rehearsal at toy size on a CPU. Without it, a host without CUDA is refused.
#
# PYTHON names the interpreter (python3). Exit status 0: every stage ended well; 1: see the table; 2: it could not begin.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ "${1:-}" = pack ]; then
  shift
  exec "$python" -m bench.gpu_packages "$@"
fi
export OUT=${OUT:-gpu-hour} HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
if [[ ${1:-} = *.tar.xz ]]; then
  packages=$(mktemp -d)
  trap 'rm -rf "$packages"' EXIT
  "$python" - "$1" "$packages" <<'UNPACK' || exit 2
import pathlib, sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], filter="data")
wanted, here = pathlib.Path(sys.argv[2], "PYTHON").read_text(), "%d.%d" % sys.version_info[:2]
if wanted != here:
    sys.exit(f"{sys.argv[1]} is for Python {wanted}, and this is {here}. Pack it again with --python {here}.")
UNPACK
  export PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH}
  shift
fi
"$python" -m bench.gpu_hour "$@" &
child=$!
trap 'kill "$child"; wait "$child"' TERM INT # it ends the stage that runs
wait "$child"
