#!/bin/sh
# The script by which a service is started and stopped where it lies: bin/srpc.sh. It has the verbs
# and the answers that consoles and habits know from the original; `msec host` does the work.
set -eu

usage() {
    echo "usage: $0 start|debug-start|stop|force_stop|restart|reload|show" >&2
    exit 2
}

[ $# -eq 1 ] || usage
# The folder tells the service: <root>/<First>/<second>/bin.
cd "$(dirname "$0")"
msec=${MSEC:-msec}
case $1 in
start | stop | restart | reload | show) exec "$msec" host "$1" ;;
debug-start) exec "$msec" host start --foreground ;;
force_stop) exec "$msec" host kill ;;
*) usage ;;
esac
