#!/bin/sh
# Names and installs what a make target needs beyond Cargo's own crates.
#
#   xtask/deps.sh java     a linker, a JDK and Maven
#   xtask/deps.sh test     compilers for C, C++ and Java, valgrind, and what tests talk to
#   xtask/deps.sh demo     a linker, and what the examples in C++ and Java are built with
#   xtask/deps.sh bench    also perf, gRPC for C++ and what grpc-java is built with, the peers
#
# Says nothing where nothing is missing. Otherwise it installs by name with apt-get, as root or
# with a sudo that asks no password; where it cannot, it prints the command and fails. Written for
# /bin/sh, since it comes before everything else.
set -eu

target=${1:?usage: xtask/deps.sh java|test|demo|bench}
rust_minor_min=95
packages=

# need <package> <command...>: the package is missing where the command fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || packages="$packages $package"
}

need gcc command -v cc
# The headers of the C library come with it.
need libc6-dev test -e /usr/include/stdlib.h
case $target in
java)
    need openjdk-17-jdk-headless command -v javac
    need maven command -v mvn
    ;;
test)
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
    need openjdk-17-jdk-headless command -v javac
    need maven command -v mvn
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
    ;;
demo)
    # The part in C++.
    need g++ command -v c++
    need cmake command -v cmake
    need pkg-config command -v pkg-config
    need libprotobuf-dev test -e /usr/include/google/protobuf/message_lite.h
    need protobuf-compiler command -v protoc
    need curl command -v curl
    # The part in Java.
    need openjdk-17-jdk-headless command -v javac
    need maven command -v mvn
    ;;
bench)
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
    need openjdk-17-jdk-headless command -v javac
    need maven command -v mvn
    ;;
*)
    echo "xtask/deps.sh: no target $target" >&2
    exit 2
    ;;
esac

rust_minor=$(rustc --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
if [ "${rust_minor:-0}" -lt "$rust_minor_min" ]; then
    echo "Rust 1.$rust_minor_min or newer is missing; get it from https://rustup.rs" >&2
    exit 1
fi

if [ -z "$packages" ]; then
    exit 0
fi
echo "missing:$packages"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root=sudo
else
    as_root=none
fi
if [ "$as_root" = none ] || ! command -v apt-get >/dev/null; then
    echo "install them with: sudo apt-get install$packages" >&2
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
