#!/bin/sh
# Does what README.md says, in a copy of this folder, with an msec that is installed.
#
#   cpp-examples/migration/build.sh <prefix of msec> <folder for the copy>
set -eu

prefix=${1:?} copy=${2:?}
here=$(cd "$(dirname "$0")" && pwd)
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
# The make that calls this is none of theirs.
unset MAKEFLAGS MAKELEVEL MFLAGS

rm -rf "$copy"
cp -R "$here" "$copy"
cd "$copy"
for name in shelf library; do
    "$prefix/bin/msec" gen --compat "${name}_server/$name.proto" --out . >/dev/null
    make -s -C "${name}_server" MSEC="$prefix/bin/msec"
done
make -s -C library_client MSEC="$prefix/bin/msec"
# A program of one file; messages and flags are those of the client.
flags=$(pkg-config --cflags --libs msec-compat)
# shellcheck disable=SC2086 # They are words.
c++ -O1 -I library_client library_cgi/cgi_library.cpp library_client/library.pb.cc \
    -Wl,-rpath,"$prefix/lib" $flags -o library_cgi/cgi_library
