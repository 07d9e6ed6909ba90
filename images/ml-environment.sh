#!/usr/bin/env bash
# The ML images' packages as one environment on this machine, for `flywheel run --local`, tests/ml and the bench.
# Prints the path of its Python as the last line. Made again only when a lock has changed.
set -euo pipefail

images=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${XDG_CACHE_HOME:-$HOME/.cache}/flywheel/ml
locks=("$images"/{torch,student,trainer}/requirements.lock "$images/tests.lock")
uv=$images/../tools/uv
digest=$(cat "${locks[@]}" | sha256sum | cut -d' ' -f1)

if [[ $(cat "$home/locks.sha256" 2>/dev/null) != "$digest" ]]; then
  echo "Installing PyTorch and NeMo into $home: about 6 GB on disk, 2 GB to download, a few minutes" >&2
  free=$(df -Pm "$(mkdir -p "$home" && echo "$home")" | awk 'NR == 2 {print $4}')
  if ((free < 8000)); then
    echo "only $free MB are free at $home, 8000 are needed: free some, or set XDG_CACHE_HOME to another disk" >&2
    exit 1
  fi
  export UV_PYTHON_DOWNLOADS=never
  "$uv" venv --quiet --clear --python 3.11 "$home"
  "$uv" pip install --quiet --python "$home/bin/python" --no-deps --compile-bytecode $(printf -- '-r %s ' "${locks[@]}") >&2
  echo "$digest" >"$home/locks.sha256"
fi
echo "$home/bin/python"
