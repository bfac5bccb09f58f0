#!/usr/bin/env bash
# Builds an image of the nats-server that go.mod names, for where no registry is
# reached, and prints its name: NATS_IMAGE for the tests in containers.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(go list -m -f '{{.Version}}' github.com/nats-io/nats-server/v2)
image=natspatterns/nats-server:$version
if ! docker image inspect "$image" >/dev/null 2>&1; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  CGO_ENABLED=0 GOBIN="$dir" go install "github.com/nats-io/nats-server/v2@$version"
  printf 'FROM scratch\nCOPY nats-server /nats-server\nEXPOSE 4222 6222 8222\nENTRYPOINT ["/nats-server"]\n' >"$dir/Dockerfile"
  DOCKER_BUILDKIT=0 docker build -q -t "$image" "$dir" >/dev/null 2>&1
fi
echo "$image"
