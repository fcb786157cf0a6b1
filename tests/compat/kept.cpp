// What is kept of connections, and for how long: the store of the library under a clock that this
// program turns.

#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int64_t g_now_ms = 1000000;

namespace msec {
namespace compat {

int64_t monotonic_ms() { return g_now_ms; }

}  // namespace compat
}  // namespace msec

using namespace msec::compat;

static sockaddr_in Peer(int number) {
    sockaddr_in peer;
    memset(&peer, 0, sizeof(peer));
    peer.sin_family = AF_INET;
    peer.sin_addr.s_addr = htonl(0x0a000000 + number);
    peer.sin_port = htons(7963);
    return peer;
}

// A connection; its other end is kept open, too.
static int Connection(int *other) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
    *other = ends[1];
    return ends[0];
}

static bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void Check(const char *what, bool holds) {
    if (!holds) printf("not so: %s\n", what);
}

int main() {
    rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    int other;
    const int one = Connection(&other);
    keep(Peer(1), one);
    Check("another peer has none", take_kept(Peer(2)) == -1);
    g_now_ms += 59999;
    Check("it is there for a minute", take_kept(Peer(1)) == one);
    keep(Peer(1), one);
    g_now_ms += 60000;
    Check("and not longer", take_kept(Peer(1)) == -1 && !IsOpen(one));

    const int closed = Connection(&other);
    close(other);
    keep(Peer(1), closed);
    const int spoken = Connection(&other);
    if (write(other, "x", 1) != 1) return 1;
    keep(Peer(1), spoken);
    Check("neither a dead one nor one that is out of step is lent", take_kept(Peer(1)) == -1);
    Check("both are closed", !IsOpen(closed) && !IsOpen(spoken));

    int first = -1, second = -1, last = -1;
    for (int i = 0; i < 65; i++) {
        last = Connection(&other);
        if (i == 0) first = last;
        if (i == 1) second = last;
        keep(Peer(1), last);
    }
    Check("the oldest of a peer makes room", !IsOpen(first));
    Check("the newest is lent first", take_kept(Peer(1)) == last);

    g_now_ms += 60000;
    const int elsewhere = Connection(&other);
    keep(Peer(2), elsewhere);
    Check("those that nobody asks for are closed, too", !IsOpen(second));
    for (int i = 3; i < 1026; i++) keep(Peer(i), Connection(&other));
    const int beyond = Connection(&other);
    keep(Peer(5000), beyond);
    Check("there is a last peer", !IsOpen(beyond) && take_kept(Peer(5000)) == -1);
    g_now_ms += 60000;
    const int again = Connection(&other);
    keep(Peer(5000), again);
    Check("and room when the others were not used", take_kept(Peer(5000)) == again);
    puts("everything works");
    return 0;
}
