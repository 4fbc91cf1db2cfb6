# What the scripts share: where things are, what must be installed, how to build. Sourced, not run.
#
# Works on a fresh Debian 12 with nothing but git, as root or with sudo, without a terminal and with stdin closed.
# Everything comes from apt and npm; nothing is fetched from elsewhere.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
exec </dev/null

JOBS="${CANDOR_JOBS:-$(nproc)}"  # compilers at a time

# Groups of Debian packages. docs/dependencies.md gives the reason of each; tools/tidy compares the two.
packages_build="g++ cmake ninja-build pkg-config ccache python3
  libpq-dev libsqlite3-dev libssl-dev libzstd-dev liblzma-dev zlib1g-dev libxxhash-dev librocksdb-dev libtomlplusplus-dev
  libjemalloc-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libcpp-httplib-dev liburing-dev libnats-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev libtbb-dev"
packages_demo="wordnet-base redis-tools"
packages_test="redis-server nats-server postgresql-15 sqlite3 python3-redis python3-pytest python3-psycopg2 chromium openssl spin prometheus
  clang-19 libclang-rt-19-dev clang-format-19"
packages_bench="redis-server nats-server memcached postgresql-15 libbenchmark-dev libtbb-dev python3-redis python3-psycopg2"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && [ -t 2 ]; then sudo "$@"
  elif command -v sudo >/dev/null; then sudo -n "$@" || die "sudo refused '$1' without a terminal to ask on; run this as root"
  else die "'$1' needs root: run this as root or install sudo"; fi
}

# The packages of the list that are not installed; one question to dpkg, because it takes 10 ms each time.
missing_packages() {
  local name have
  have=" $(dpkg-query -W -f '${db:Status-Status}=${Package} ' "$@" 2>/dev/null || true)"
  for name in "$@"; do
    [[ "$have" == *" installed=$name "* ]] || printf '%s ' "$name"
  done
}

# apt must not start the servers that it installs: tests start their own, on free ports.
with_no_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then "$@"; return; fi
  as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
  "$@" || status=$?
  as_root rm -f "$policy"
  return $status
}

apt_quietly() {
  local log; log="$(mktemp)"
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; then
    tail -n 25 "$log" >&2; rm -f "$log"; return 1
  fi
  rm -f "$log"
}

# Installs what is missing of the groups named; quick when nothing is.
ensure_groups() {
  local group names="" missing list
  for group in "$@"; do list="packages_$group"; names="$names ${!list}"; done
  # Any node and npm will do; Debian's are taken only when there are none.
  command -v node >/dev/null || names="$names nodejs"
  command -v npm >/dev/null || names="$names npm"
  # shellcheck disable=SC2086
  missing="$(missing_packages $names)"
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "this needs Debian 12 (apt-get is not here); missing: $missing"
  say "installing: $missing"
  # shellcheck disable=SC2086
  with_no_services apt_quietly install --no-install-recommends $missing 2>/dev/null && return 0
  apt_quietly update || die "apt-get update failed; see the lines above"
  # shellcheck disable=SC2086
  with_no_services apt_quietly install --no-install-recommends $missing || die "apt-get could not install: $missing"
}

# npm packages of one folder, exactly as its lock file says; skipped when they are there already.
ensure_npm() {
  local folder="$1" stamp want
  [ -f "$folder/package-lock.json" ] || return 0
  stamp="$folder/node_modules/.candor-lock"
  want="$(sha256sum <"$folder/package-lock.json")"
  [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ] && return 0
  say "npm ci in $folder"
  (cd "$folder" && npm ci --silent --no-audit --no-fund --ignore-scripts >&2) || die "npm ci failed in $folder"
  printf '%s\n' "$want" >"$stamp"
}

# build PRESET [TARGET...]: configures when needed, builds quietly, shows the output of what fails.
build() {
  local preset="$1"; shift
  local log="build/$preset.log" extra=()
  mkdir -p build
  [ "${CANDOR_CMAKE_ARGS:-}" ] && read -r -a extra <<<"$CANDOR_CMAKE_ARGS"
  # ninja calls cmake again by itself when a CMake file changed; presets it does not know.
  [ "build/$preset/build.ninja" -nt CMakePresets.json ] && [ ${#extra[@]} = 0 ] && : >"$log" ||
    cmake --preset "$preset" "${extra[@]}" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "cmake --preset $preset failed; all of it in $log"; }
  local begin=$SECONDS
  if ! ninja -C "build/$preset" -j"$JOBS" "$@" >>"$log" 2>&1; then
    grep -nE 'error|FAILED' "$log" | head -n 20 >&2; tail -n 30 "$log" >&2
    die "the build of preset $preset failed; all of it in $log"
  fi
  [ $((SECONDS - begin)) -lt 3 ] || say "built $preset in $((SECONDS - begin)) s"
}
