#!/usr/bin/env bash
# Builds jansson, libyaml and libcsv with the fuzzer's instrumentation from Debian's source packages, as the shared
# libraries that a program finds with LD_LIBRARY_PATH=DIR. Without it a fuzzer sees nothing of what happens inside them.
#
#     tests/fuzz/libraries.sh DIR
set -euo pipefail
mkdir -p "$1/lists/partial"
cd "$1"

# Lists of source packages of our own, so that nothing of the system is changed.
apt() {
    apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$PWD/sources.list" \
        -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$PWD/lists" "$@"
}

# shellcheck disable=SC2016 # apt's variables
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    'Origin: Debian' 'Component: main' | sort -u >sources.list
apt update
apt source --download-only jansson libyaml libcsv
for package in jansson libyaml libcsv; do
    mkdir -p "$package"
    tar xf "$package"_*.orig.tar.* -C "$package" --strip-components=1
done

library() { # NAME SOURCES-AND-FLAGS...
    clang -O1 -g -fPIC -shared -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address \
        -Wl,-soname,"$1",--default-symver -o "$1" "${@:2}"
}
touch jansson/src/jansson_private_config.h
library libjansson.so.4 -DHAVE_STDINT_H -DHAVE_STRTOLL -DINITIAL_HASHTABLE_ORDER=3 -Ijansson/android jansson/src/*.c
library libyaml-0.so.2 -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 \
    '-DYAML_VERSION_STRING="0.2.5"' -Ilibyaml/include libyaml/src/*.c
library libcsv.so.3 -Ilibcsv libcsv/libcsv.c
