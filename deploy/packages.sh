#!/usr/bin/env bash
# Installs the Debian packages that the tests need and that are missing, as root or through sudo. Where that is not
# possible, prints which packages to install, and fails.
set -euo pipefail

packages=()
need() { # COMMAND-THAT-SUCCEEDS-WHEN-INSTALLED PACKAGE
  bash -c "$1" >/dev/null 2>&1 || packages+=("$2")
}
need 'command -v cc && command -v c++ && command -v make' build-essential
need 'command -v pkg-config' pkg-config
need 'test -e /usr/include/openssl/ssl.h' libssl-dev
need 'command -v javac' default-jdk-headless
need 'command -v mvn' maven
need 'command -v node && command -v npm' npm
need 'command -v prometheus && command -v promtool' prometheus
need 'command -v chromium' chromium
need 'command -v chromedriver' chromium-driver
need 'command -v python3 && python3 -c "import ensurepip, venv"' python3-venv

[ ${#packages[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  # Without a terminal there is no one to type a password, so sudo must not ask for one.
  if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then as_root=(sudo); else as_root=(false); fi
fi
if ! command -v apt-get >/dev/null || [ "${as_root[*]}" = false ]; then
  echo "make test: missing packages; as root, run: apt-get install ${packages[*]}" >&2
  exit 1
fi
echo "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${packages[@]}"
