#!/usr/bin/env bash
# when-there.sh HOST:PORT... -- COMMAND...: runs COMMAND once every address, and those in AQUEDUCT_WAIT_FOR, accept
# connections, and gives up after two minutes. For the services of docker-compose.yml, as not every engine waits for
# health checks.
set -euo pipefail

# shellcheck disable=SC2086  # several addresses are several words
set -- ${AQUEDUCT_WAIT_FOR:-} "$@"
waiting_for=""
until [ "$1" = -- ]; do
  host=${1%:*} port=${1##*:}
  until (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do
    if [ "$waiting_for" != "$1" ]; then
      waiting_for=$1
      echo "waiting for $1" >&2
    fi
    if [ "$SECONDS" -ge 120 ]; then
      echo "no server at $1 after $SECONDS seconds; see the log of service $host" >&2
      exit 1
    fi
    sleep 1
  done
  shift
done
shift
exec "$@"
