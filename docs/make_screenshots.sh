#!/usr/bin/env bash
# Take the pictures of docs/images from the results of `make reproduce`, in a headless Chromium.
# Usage: docs/make_screenshots.sh     (in the project's folder, with .venv active)
set -euo pipefail
port=5055
out=docs/images
profile=$(mktemp -d)
mkdir -p "$out"

dgunet tracking ui --port "$port" >/dev/null 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$profile"' EXIT
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do sleep 1; done

shot() {  # address, file, size
  chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync \
    --hide-scrollbars --user-data-dir="$profile" --window-size="$3" \
    --virtual-time-budget=25000 --screenshot="$out/$2" "$1" >/dev/null 2>&1
  echo "$out/$2"
}

table5=$(python - <<'PY'
from mlflow.tracking import MlflowClient
from dgunet.tracking import Layout
client = MlflowClient(Layout.at().uri)
print(client.get_experiment_by_name("dgunet/table-5-stages-and-scales").experiment_id)
PY
)
shot "http://127.0.0.1:$port/#/experiments/$table5/runs" mlflow-runs.png 2000,800
shot "http://127.0.0.1:$port/#/experiments/$table5/runs?compareRunsMode=CHART" mlflow-ablation.png 2000,1000
shot "$(python -c 'import pathlib; print(pathlib.Path("build/report.html").resolve().as_uri())')" report.png 1500,1250
