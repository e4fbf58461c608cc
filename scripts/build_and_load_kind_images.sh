#!/usr/bin/env bash
# Builds the images that a cluster needs, and loads them into a kind cluster:
#   scripts/build_and_load_kind_images.sh [--build | --load] CLUSTER
# Both by default; --build needs no CLUSTER. BUILD_ARGS has more of docker's own arguments, such as
# "--build-arg BASE=my-base:1" where no registry can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  echo "usage: $0 [--build | --load] CLUSTER" >&2
  exit 2
}

what=both
case ${1:-} in
  --build | --load) what=${1#--}; shift ;;
  -*) usage ;;
esac
cluster=${1:-}
if [ "$what" != build ] && [ -z "$cluster" ]; then usage; fi

# image and mode
images=("payments-worker:latest worker" "paymentjob-operator:latest operator")
read -ra build_args <<< "${BUILD_ARGS:-}"

need() {
  command -v "$1" > /dev/null || { echo "$0: needs $1 on the PATH" >&2; exit 2; }
}

build() {
  need docker
  local image mode
  for entry in "${images[@]}"; do
    read -r image mode <<< "$entry"
    echo "building $image"
    docker build "${build_args[@]}" --target "$mode" --build-arg "REVISION=$(revision)" --tag "$image" .
  done
}

revision() { git rev-parse HEAD 2> /dev/null || echo unknown; }

load() {
  need kind
  kind load docker-image --name "$cluster" "${images[@]%% *}"
}

if [ "$what" != load ]; then build; fi
if [ "$what" != build ]; then load; fi
