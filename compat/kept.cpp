// Connections by peer, the newest lent first: those that are used stay, and the others grow old.
// No thread looks after them. Old ones are closed when one of their peer is asked for, and those of
// all peers now and then when one is given back.

#include "kept.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <mutex>
#include <unordered_map>

namespace msec {
namespace compat {

namespace {

/// Servers of the original close what was idle for so long; ours later.
const int64_t KEPT_MS = 60 * 1000;
/// Connections to one peer that wait for work.
const size_t KEPT_OF_PEER_MAX = 64;
/// Peers that any are kept to.
const size_t KEPT_PEERS_MAX = 1024;
/// Between two looks at those which nobody asks for.
const int64_t LOOK_MS = 10 * 1000;

struct kept {
    int fd;
    int64_t since_ms;
};

/// By address and port, the longest kept first. Locked for no longer than a look-up takes.
struct store {
    std::mutex lock;
    std::unordered_map<uint64_t, std::deque<kept>> peers;
    int64_t looked_ms = 0;
};

/// Lives as long as the process: threads may run while that ends.
store &all() {
    static store *const one = new store;
    return *one;
}

uint64_t key_of(const sockaddr_in &peer) {
    return static_cast<uint64_t>(peer.sin_addr.s_addr) << 16 | peer.sin_port;
}

/// Closes those that were kept long enough.
void end_old(std::deque<kept> &those, int64_t now_ms) {
    while (!those.empty() && now_ms - those.front().since_ms >= KEPT_MS) {
        close(those.front().fd);
        those.pop_front();
    }
}

void end_all_old(store &one, int64_t now_ms) {
    if (now_ms - one.looked_ms < LOOK_MS && one.peers.size() < KEPT_PEERS_MAX) return;
    one.looked_ms = now_ms;
    for (auto at = one.peers.begin(); at != one.peers.end();) {
        end_old(at->second, now_ms);
        at = at->second.empty() ? one.peers.erase(at) : std::next(at);
    }
}

/// Neither closed by the peer, nor has it said what nobody asked for.
bool is_quiet(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

int take_kept(const sockaddr_in &peer) {
    store &one = all();
    const std::lock_guard<std::mutex> lock(one.lock);
    const auto at = one.peers.find(key_of(peer));
    if (at == one.peers.end()) return -1;
    end_old(at->second, monotonic_ms());
    while (!at->second.empty()) {
        const int fd = at->second.back().fd;
        at->second.pop_back();
        if (is_quiet(fd)) return fd;
        close(fd);
    }
    return -1;
}

void keep(const sockaddr_in &peer, int fd) {
    store &one = all();
    const std::lock_guard<std::mutex> lock(one.lock);
    const int64_t now_ms = monotonic_ms();
    end_all_old(one, now_ms);
    const uint64_t key = key_of(peer);
    if (one.peers.size() >= KEPT_PEERS_MAX && one.peers.count(key) == 0) {
        close(fd);
        return;
    }
    std::deque<kept> &those = one.peers[key];
    if (those.size() >= KEPT_OF_PEER_MAX) {
        close(those.front().fd);
        those.pop_front();
    }
    those.push_back(kept{fd, now_ms});
}

}  // namespace compat
}  // namespace msec
