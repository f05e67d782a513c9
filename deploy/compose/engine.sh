# shellcheck shell=bash
# Sourced by compose-test.sh: podman with settings and a storage of its own, below target/containers. What is made there,
# such as stand-ins under the names of public images, is not visible to other users of this machine.

CONTAINERS=${CARGO_TARGET_DIR:-$ROOT/target}/containers
SERVICES=${CARGO_TARGET_DIR:-$ROOT/target}/services
RUN=/run/aqueduct-$(cksum <<<"$CONTAINERS" | cut -d ' ' -f 1)
PODMAN_COMPOSE=$CONTAINERS/venv/bin/podman-compose

missing_tools() { # one line for each, as an error
  local all_there=0 command package
  while read -r command package; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null && continue
    echo "$command is missing: install it (Debian: apt-get install $package)" >&2
    all_there=1
  done <<'TOOLS'
podman podman
buildah buildah
runc runc
iptables iptables
debootstrap debootstrap
rustc rustup
TOOLS
  [ -x /usr/lib/podman/netavark ] || [ -x /usr/libexec/podman/netavark ] || {
    echo "netavark is missing: install it (Debian: apt-get install netavark aardvark-dns)" >&2
    all_there=1
  }
  python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "python3 cannot make virtual environments (Debian: apt-get install python3-venv)" >&2
    all_there=1
  }
  [ "$(id -u)" -eq 0 ] || {
    echo "debootstrap and podman's networks need root: run it as root" >&2
    all_there=1
  }
  return "$all_there"
}

set_up_engine() {
  mkdir -p "$CONTAINERS/tmp" "$CONTAINERS/networks" "$RUN"
  # buildah keeps its cache mounts in the temporary folder.
  export TMPDIR=$CONTAINERS/tmp
  export CONTAINERS_CONF=$CONTAINERS/containers.conf
  export CONTAINERS_STORAGE_CONF=$CONTAINERS/storage.conf
  export CONTAINERS_REGISTRIES_CONF=$CONTAINERS/registries.conf
  # Limits no higher than this shell's own, which a sandboxed root may not raise.
  # Health checks are no part of the other format.
  export BUILDAH_FORMAT=docker
  cat >"$CONTAINERS_CONF" <<CONF
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "$RUN/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$CONTAINERS/networks"
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
CONF
  cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "overlay"
graphroot = "$CONTAINERS/storage"
runroot = "$RUN/storage"
CONF
  echo 'unqualified-search-registries = ["docker.io"]' >"$CONTAINERS_REGISTRIES_CONF"
  # podman 4.3 starts no container whose finished dependency depends on a running one. podman-compose keeps the order by
  # itself, so that podman need not know it.
  cat >"$CONTAINERS/podman" <<'WRAPPER'
#!/usr/bin/env bash
words=()
for word in "$@"; do
  [[ $word == --requires=* ]] || words+=("$word")
done
exec podman "${words[@]}"
WRAPPER
  chmod +x "$CONTAINERS/podman"
  if ! "$PODMAN_COMPOSE" --version 2>/dev/null | grep -q "version $PODMAN_COMPOSE_VERSION$"; then
    python3 -m venv "$CONTAINERS/venv"
    "$CONTAINERS/venv/bin/pip" install -q --disable-pip-version-check "podman-compose==$PODMAN_COMPOSE_VERSION"
  fi
}
