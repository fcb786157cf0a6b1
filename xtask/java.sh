#!/bin/sh
# Runs the tests of Java: on Maven's JVM, on the newest that is here besides, and once with every
# call of the native library looked at by the JVM.
#
#   xtask/java.sh <folder of built files>
set -eu

# Maven runs elsewhere.
built=$(cd "${1:?usage: xtask/java.sh <folder of built files>}" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/java"

# What the JVM says of a broken rule of JNI; it goes on after warnings.
complaint='in native method'
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run <what> <options of Maven...>
run() {
    echo "-- java: $1"
    shift
    if ! mvn -q test -Dmsec.built="$built" "$@" >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    if grep -q "$complaint" "$log"; then
        grep -B 2 -A 8 "$complaint" "$log"
        exit 1
    fi
}

run "the JVM of Maven"
newest=$(ls -d /usr/lib/jvm/*/bin/javac 2>/dev/null | sed 's|/bin/javac$||' |
    while read -r home; do
        version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release" 2>/dev/null)
        echo "${version:-0} $home"
    done | sort -n | tail -n 1)
if [ "${newest%% *}" -gt 17 ]; then
    run "JDK ${newest%% *}" -Dmsec.java="${newest#* }/bin/java"
fi
run "-Xcheck:jni" -Dmsec.java.options=-Xcheck:jni
