#!/bin/sh
# Unpacks tritonserver out of the nvidia-pytriton wheel into the folder given, ready for Python 3.11: for the image, and
# for tests/serving. The wheel's tree is kept as it is: its libraries find each other by relative paths.
set -eu
target=$1
lock=$(dirname "$0")/requirements.lock
python=${PYTHON:-python3}
if [ -x "$target/pytriton/tritonserver/bin/tritonserver" ] && cmp -s "$lock" "$target/requirements.lock"; then exit 0; fi

rm -rf "$target"
if "$python" -m pip --version >/dev/null 2>&1; then
  "$python" -m pip install --quiet --no-cache-dir --no-deps --no-compile --disable-pip-version-check --target "$target" -r "$lock"
else
  "${UV:?uv run sets it}" pip install --quiet --python "$python" --no-deps --target "$target" -r "$lock"
fi
server=$target/pytriton/tritonserver
chmod 0755 "$server/bin/tritonserver" "$server/python_backend_stubs/3.11/triton_python_backend_stub"
cp "$server/python_backend_stubs/3.11/triton_python_backend_stub" "$server/backends/python/"
rm -rf "$server/python_backend_stubs"
# python3.11's own library may lie beside the interpreter.
LD_LIBRARY_PATH=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
export LD_LIBRARY_PATH
for program in "$server/bin/tritonserver" "$server/backends/python/triton_python_backend_stub"; do
  missing=$(ldd "$program" | grep 'not found' || true)
  if [ -n "$missing" ]; then
    echo "$program lacks libraries: $missing. Install libpython3.11 and libexpat1." >&2
    exit 1
  fi
done
cp "$lock" "$target/requirements.lock"
