#!/bin/sh
# Names and installs what make targets need beyond Cargo's own crates.
#
#   xtask/deps.sh build    a linker
#   xtask/deps.sh java     also a JDK and Maven
#   xtask/deps.sh demo     also what the examples in C++ are built with
#   xtask/deps.sh test     compilers for C, C++ and Java, valgrind, and what tests talk to
#   xtask/deps.sh bench    perf, gRPC for C++ and what grpc-java is built with, the peers
#
# Several at a time are looked at as one. Says nothing where nothing is missing. Otherwise it
# installs by name with apt-get, as root or with a sudo that asks no password; where it cannot, it
# prints the command and fails. Rust it only asks for: that comes from rustup, to each user apart.
# Written for /bin/sh, since it comes before everything else.
set -eu

[ $# -gt 0 ] || {
    echo "usage: xtask/deps.sh build|java|demo|test|bench..." >&2
    exit 2
}
rust_minor_min=95
packages=

# need <package> <command...>: the package is missing where the command fails.
need() {
    package=$1
    shift
    case " $packages " in *" $package "*) return ;; esac
    "$@" >/dev/null 2>&1 || packages="$packages $package"
}

need_for_build() {
    need gcc command -v cc
    # The headers of the C library come with it.
    need libc6-dev test -e /usr/include/stdlib.h
}

need_for_java() {
    need openjdk-17-jdk-headless command -v javac
    need maven command -v mvn
}

need_for_demo() {
    # The part in C++.
    need g++ command -v c++
    need cmake command -v cmake
    need pkg-config command -v pkg-config
    need libprotobuf-dev test -e /usr/include/google/protobuf/message_lite.h
    need protobuf-compiler command -v protoc
    need curl command -v curl
    # The part in Java.
    need_for_java
}

need_for_test() {
    need g++ command -v c++
    # The other compiler, and the other C++ runtime, that users of libmsec have.
    need clang command -v clang++
    need libc++-dev test -e /usr/lib/llvm-14/include/c++/v1/vector
    need libc++abi-dev test -e /usr/lib/llvm-14/lib/libc++abi.so
    # Describes and compares interfaces of libraries: abidw, abidiff.
    need abigail-tools command -v abidiff
    # What the C++ examples are built with.
    need cmake command -v cmake
    need pkg-config command -v pkg-config
    need libprotobuf-dev test -e /usr/include/google/protobuf/message_lite.h
    need protobuf-compiler command -v protoc
    # What the library for Java is built and run with. On a newer JDK it is tested as well, if one
    # is there.
    need_for_java
    # Counts instructions for the rows that must not creep up.
    need valgrind command -v valgrind
    # The client of HTTP that everybody has.
    need curl command -v curl
    # A third party's protocol, called with raw bytes.
    need redis-server command -v redis-server
    # Libraries that block and know nothing of coroutines, and the server of one of them.
    need mariadb-server-core test -x /usr/sbin/mariadbd
    need libmariadb-dev test -e /usr/include/mariadb/mysql.h
    need libhiredis-dev test -e /usr/include/hiredis/hiredis.h
    need libcurl4-openssl-dev pkg-config --exists libcurl
    # promtool, which says whether Prometheus would like our metrics.
    need prometheus command -v promtool
    # Shells that the completions are tried in.
    need zsh command -v zsh
    need fish command -v fish
    # Digests and filters of system calls, for what no crate of the tests does.
    need perl perl -MDigest::SHA -e 1
    # Looks at the pages, and calls methods from them.
    need chromium command -v chromium
    # Makes the certificates of the guide.
    need openssl command -v openssl
    # Network namespaces, for a network that fails; to make them takes root.
    need iproute2 command -v ip
}

need_for_bench() {
    need valgrind command -v valgrind
    need linux-perf command -v perf
    need g++ command -v c++
    need pkg-config command -v pkg-config
    need libgrpc++-dev pkg-config --exists grpc++
    need libprotobuf-dev pkg-config --exists protobuf
    need protobuf-compiler command -v protoc
    need protobuf-compiler-grpc command -v grpc_cpp_plugin
    # The library for Java and grpc-java, its peer. The rows of JDK 25 need one below /usr/lib/jvm,
    # which Debian 12 does not have.
    need_for_java
}

for target in "$@"; do
    need_for_build
    case $target in
    build) ;;
    java | demo | test | bench) "need_for_$target" ;;
    *)
        echo "xtask/deps.sh: no target $target" >&2
        exit 2
        ;;
    esac
done

# Fails where Rust is missing; comes last, since root can install packages without having Rust.
check_rust() {
    rust_minor=$(rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
    if [ "${rust_minor:-0}" -lt "$rust_minor_min" ]; then
        echo "$(id -un) has no Rust 1.$rust_minor_min or newer in PATH; get it from" \
            "https://rustup.rs" >&2
        exit 1
    fi
}

if [ -z "$packages" ]; then
    check_rust
    exit 0
fi
echo "missing:$packages"
command -v apt-get >/dev/null || {
    echo "there is no apt-get here; these are the names that Debian 12 has for them" >&2
    exit 1
}
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root=sudo
else
    with=$(command -v sudo >/dev/null && echo "with: sudo" || echo "as root with:")
    echo "install them $with apt-get install --no-install-recommends$packages" >&2
    check_rust
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# The names are split on purpose: one argument a package.
# shellcheck disable=SC2086
$as_root apt-get install -y --no-install-recommends $packages || {
    $as_root apt-get update
    # shellcheck disable=SC2086
    $as_root apt-get install -y --no-install-recommends $packages
}
check_rust
