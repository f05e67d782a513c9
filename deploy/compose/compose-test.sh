#!/usr/bin/env bash
# Builds the images and runs docker-compose.yml with podman, where there is neither a Docker engine nor an image registry:
# waits until rows appear, prints the busiest boxes, checks what a user relies on, and takes everything down again.
#     AQUEDUCT_PROFILE=dev    a build that takes a fraction of the time
#     CARGO_BUILD_JOBS=1      crates compiled side by side
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PODMAN_COMPOSE_VERSION=1.6.0
PROJECT=aqueduct-test
ROWS_WITHIN_SECONDS=300
# shellcheck source=deploy/compose/engine.sh
source "$ROOT/deploy/compose/engine.sh"
# shellcheck source=deploy/compose/bases.sh
source "$ROOT/deploy/compose/bases.sh"

main() {
  missing_tools
  cd "$ROOT"
  [ -d "$SERVICES/kafka/libs" ] && [ -f "$SERVICES/pubsub/jar" ] ||
    python3 deploy/services/services.py fetch --only kafka,pubsub
  set_up_engine
  make_bases
  say "building the images"
  build
  trap tear_down EXIT
  trap 'exit 130' INT TERM
  say "starting docker-compose.yml"
  compose down --volumes >/dev/null 2>&1 || true
  logged compose up --detach --no-build
  wait_for_rows
  check_health
  check_user
  check_end
  say "compose-test passed"
}

build() {
  local settings="--network=host ${cargo_settings[*]}"
  local jobs=()
  [ -z "${CARGO_BUILD_JOBS:-}" ] || jobs=(--build-arg "CARGO_BUILD_JOBS=$CARGO_BUILD_JOBS")
  # One service of each image: the others share it.
  compose --podman-build-args="$settings" build "${jobs[@]}" setup bigquery
  podman images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep -E 'aqueduct:|bqemulator' >&2
}

# The first boxes, then the first complete window: twelve minutes of the past are in the traffic.
wait_for_rows() {
  local shown="" started=$SECONDS
  say "waiting for rows, $ROWS_WITHIN_SECONDS seconds at most"
  until shown=$(in_service busiest python /busiest.py --once 2>/dev/null) && [[ $shown != *"not complete yet"* ]]; do
    [ $((SECONDS - started)) -lt "$ROWS_WITHIN_SECONDS" ] ||
      fail "no complete window within $ROWS_WITHIN_SECONDS seconds; the last answer: $shown"
    sleep 2
  done
  say "first complete window after $((SECONDS - started)) seconds"
  echo "$shown"
}

check_health() {
  local service
  for service in kafka pubsub bigquery connector processor; do
    podman healthcheck run "${PROJECT}_${service}_1" >/dev/null || fail "$service: its health check fails"
  done
  say "kafka, pubsub, bigquery, connector and processor are healthy"
}

check_user() {
  local user
  user=$(in_service connector id -u)
  [ "$user" = 10001 ] || fail "the connector runs as user $user"
  if in_service processor test -e keys/keys.toml; then fail "the processor sees the keyring"; fi
}

# SIGTERM ends the work in flight and exits with 0.
check_end() {
  local service code
  for service in connector processor; do
    podman stop --time 30 "${PROJECT}_${service}_1" >/dev/null
    code=$(podman inspect --format '{{.State.ExitCode}}' "${PROJECT}_${service}_1")
    [ "$code" = 0 ] || fail "$service: ended with exit code $code after SIGTERM"
  done
  say "connector and processor ended with 0 after SIGTERM"
}

tear_down() {
  local code=$?
  trap '' INT TERM
  if [ "$code" -ne 0 ]; then
    podman ps --all --format '{{.Names}}: {{.Status}}' >&2 || true
    compose logs >"$CONTAINERS/compose.log" 2>&1 || true
    tail -n 40 "$CONTAINERS/compose.log" >&2
    echo "all logs: $CONTAINERS/compose.log" >&2
  fi
  say "taking everything down"
  compose down --volumes --timeout 10 >"$CONTAINERS/down.log" 2>&1 || cat "$CONTAINERS/down.log" >&2
  exit "$code"
}

compose() {
  "$PODMAN_COMPOSE" --podman-path "$CONTAINERS/podman" --project-name "$PROJECT" "$@"
}

in_service() { # SERVICE COMMAND...
  podman exec "${PROJECT}_${1}_1" "${@:2}"
}

logged() { # a command whose output matters only if it fails
  "$@" >"$CONTAINERS/step.log" 2>&1 || {
    tail -n 40 "$CONTAINERS/step.log" >&2
    fail "failed: $1 ${2:-}"
  }
}

say() {
  echo "[$(date +%T)] $*" >&2
}

fail() {
  echo "compose-test: $*" >&2
  exit 1
}

main "$@"
