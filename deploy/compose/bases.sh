# shellcheck shell=bash
# Sourced by compose-test.sh: makes the base images under the names that the Dockerfiles and docker-compose.yml use, from
# Debian's packages and from what this machine has, where no image registry is reached. Each is made once.

BASES=$ROOT/deploy/compose/bases

make_bases() {
  make_debian
  base localhost/aqueduct-java java
  base docker.io/apache/kafka:4.1.0 kafka --build-context "libs=$SERVICES/kafka/libs"
  base docker.io/google/cloud-sdk:528.0.0-emulators cloud-sdk --build-context "emulator=$(emulator_folder)"
  base docker.io/library/python:3.11-slim python --build-context "trust=$(trust_folder)" "${pip_settings[@]}"
  base docker.io/library/rust:1.95-bookworm rust --build-context "trust=$(trust_folder)" \
    --build-context "toolchain=$(toolchain_folder)"
}

make_debian() {
  local name=docker.io/library/debian:bookworm-slim
  podman image exists "$name" && return
  echo "making $name" >&2
  local root=$CONTAINERS/tmp/debian
  rm -rf "$root"
  logged debootstrap --variant=minbase bookworm "$root"
  rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/usr/share/{doc,info,locale,man}/*
  # As in the public image: what apt downloads and computes does not stay.
  cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'APT'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT
  tar -C "$root" -c . | podman import --quiet --change 'CMD ["bash"]' - "$name" >/dev/null
  rm -rf "$root"
}

base() { # NAME FILE OPTION...
  local name=$1 file=$2
  shift 2
  podman image exists "$name" && return
  echo "making $name" >&2
  logged podman build --network host --file "$BASES/$file.Dockerfile" --tag "$name" "$@" "$BASES"
}

emulator_folder() {
  dirname "$(<"$SERVICES/pubsub/jar")"
}

# The certificates that this machine trusts, as its downloads may pass a proxy of its own.
trust_folder() {
  mkdir -p "$CONTAINERS/trust"
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$CONTAINERS/trust/ca-certificates.crt"
  echo "$CONTAINERS/trust"
}

# Hard links to what a build needs of the toolchain: its documentation alone is larger.
toolchain_folder() {
  local sysroot
  sysroot=$(cd "$ROOT" && rustc --print sysroot)
  rm -rf "$CONTAINERS/toolchain"
  mkdir "$CONTAINERS/toolchain"
  cp -a --link "$sysroot"/{bin,lib,libexec} "$CONTAINERS/toolchain" 2>/dev/null ||
    cp -a "$sysroot"/{bin,lib,libexec} "$CONTAINERS/toolchain"
  echo "$CONTAINERS/toolchain"
}

# Where this machine takes packages from, if that is not the default.
pip_settings=()
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
  [ -z "${!name:-}" ] || pip_settings+=(--env "$name=${!name}")
done
cargo_settings=()
for file in "${CARGO_HOME:-$HOME/.cargo}"/config.toml; do
  [ ! -f "$file" ] || cargo_settings+=("--volume=$file:/usr/local/cargo/config.toml:ro")
done
