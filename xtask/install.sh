#!/bin/sh
# Puts what was built where compilers, linkers, pkg-config and CMake look for it.
#
#   xtask/install.sh <folder of built files> <folder to install to> <prefix that users will see>
#
# The last two differ when a package is built: the one has DESTDIR before it.
set -eu

built=${1:?} to=${2:?} prefix=${3:?}
root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)

install -d "$to/bin" "$to/share/msec" "$to/include/msec" "$to/lib/pkgconfig" "$to/lib/cmake/msec"
install -m 755 "$built/msec" "$built/msec-worker" "$built/protoc-gen-msec" "$to/bin/"
install -m 755 "$root/deploy/srpc.sh" "$to/share/msec/"
sed "s|/usr/local/bin/|$prefix/bin/|" "$root/deploy/systemd/msec@.service" \
    >"$to/share/msec/msec@.service"
install -m 644 "$root/include/msec.h" "$root/include/msec.hpp" "$to/include/"
install -m 644 "$root"/include/msec/*.hpp "$to/include/msec/"
install -m 644 "$built/libmsec.a" "$to/lib/libmsec.a"
install -m 755 "$built/libmsec.so" "$to/lib/libmsec.so.$version"
install -m 755 "$built/libmsec_hook.so" "$built/libmsec_hook_locks.so" "$to/lib/"
# Programs ask for the SONAME, linkers for the bare name.
ln -sf "libmsec.so.$version" "$to/lib/libmsec.so.0"
ln -sf libmsec.so.0 "$to/lib/libmsec.so"

# What old code is compiled against: for this machine's compiler and Protocol Buffers, and as
# sources for others. Installations at the same time build in the same folder, one after the other.
install -d "$to/include/msec/compat" "$to/share/msec/compat"
install -m 644 "$root"/include/compat/*.h "$to/include/msec/compat/"
install -m 644 "$root"/compat/*.cpp "$root"/compat/*.h "$root/compat/srpc.proto" \
    "$root/compat/CMakeLists.txt" "$to/share/msec/compat/"
missing=
for tool in cmake c++ protoc flock; do
    command -v $tool >/dev/null || missing="$missing $tool"
done
if [ -z "$missing" ]; then
    compat="$built/compat"
    mkdir -p "$compat"
    if ! flock "$compat/lock" sh -c 'cmake -S "$1" -B "$2" && cmake --build "$2" --parallel' \
        sh "$root/compat" "$compat" >"$compat/log" 2>&1; then
        cat "$compat/log" >&2
        exit 1
    fi
    install -m 644 "$compat/srpc.pb.h" "$to/include/msec/compat/"
    install -m 644 "$compat/libmsec_compat.a" "$to/lib/"
else
    echo "without libmsec_compat.a, for what was written for the original: no$missing" >&2
fi

fill() {
    sed "s|@PREFIX@|$prefix|g; s|@VERSION@|$version|g" "$root/ffi-c/packaging/$1.in" \
        >"$to/lib/$2/$1"
    chmod 644 "$to/lib/$2/$1"
}
fill msec.pc pkgconfig
fill msec-compat.pc pkgconfig
fill msec-config-version.cmake cmake/msec
install -m 644 "$root/ffi-c/packaging/msec-config.cmake" "$to/lib/cmake/msec/"
echo "installed msec $version below $to"
