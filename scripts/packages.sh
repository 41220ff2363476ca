# scripts/packages.sh - sourced by test.sh and quickstart.sh: installs Debian packages that are missing.
# shellcheck shell=bash
# shellcheck disable=SC2034 # who sources it uses them

BUILD_PACKAGES=(gcc libc6-dev meson ninja-build pkg-config libblis-pthread-dev liblapacke-dev libgfortran-12-dev
    libcsv-dev libjansson-dev libyaml-dev libpcre2-dev libdnnl-dev libutf8proc-dev libxxhash-dev)
TEST_PACKAGES=(clang libclang-rt-14-dev check bats jq wordnet-base g++ git)

# Installs those of its arguments that dpkg does not know as installed; asks for root only then.
install_missing() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "install these packages first: ${missing[*]}" >&2; return 1; }
        sudo=(sudo)
    fi
    echo "installing: ${missing[*]}" >&2
    "${sudo[@]}" apt-get update -qq >&2 || return 1
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}
