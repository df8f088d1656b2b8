#!/bin/sh
# Collects what the image is built from in a folder: the locked wheels, our own, and deploy's files.
# Usage: PYTHON=.venv/bin/python deploy/collect.sh dist/image
# The wheels are for the Python that collects them; pip takes its index from its own configuration.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
pip="${PYTHON:-python3} -m pip --quiet --disable-pip-version-check"
mkdir -p "$folder/wheels"
rm -f "$folder"/traveltide_assets-*.whl
cp "$root/deploy/requirements.lock" "$root/deploy/dagster.yaml" "$root/deploy/workspace.yaml" "$folder"
$pip download --no-deps --only-binary :all: --require-hashes \
    --requirement "$root/deploy/requirements.lock" --dest "$folder/wheels"
# A copy, because setuptools puts whatever an earlier build has left behind into the wheel.
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cp -R "$root/pyproject.toml" "$root/setup.py" "$root/README.md" "$root/LICENSE" "$root/traveltide_assets" "$source"
$pip wheel --no-deps --no-build-isolation --wheel-dir "$folder" "$source"
