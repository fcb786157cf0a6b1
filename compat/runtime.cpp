#include "runtime.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <mutex>

namespace msec {
namespace compat {

namespace {

const msec_host *adopted = nullptr;

/// Has one permit while nobody of the program runs. Lives as long as the process.
msec_semaphore *baton() {
    static msec_semaphore *const one = msec_semaphore_new(0);
    return one;
}

/// Whether a plain thread takes part: the one that opened the engine does.
thread_local bool takes_part = false;

void take() {
    // Only a cancelled caller could be refused, and those who wait here have none.
    while (msec_semaphore_acquire(baton(), 0) == MSEC_ECANCELLED) {
    }
}

void give() { msec_semaphore_release(baton(), 1); }

/// The name that the folders of a service give it.
std::string named_by_folder() {
    char folder[4096];
    if (getcwd(folder, sizeof folder) == nullptr) return std::string();
    const std::string path = folder;
    const std::string root = "/msec/", end = "/bin";
    if (path.size() <= root.size() + end.size() || path.compare(0, root.size(), root) != 0 ||
        path.compare(path.size() - end.size(), end.size(), end) != 0) {
        return std::string();
    }
    std::string name = path.substr(root.size(), path.size() - root.size() - end.size());
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.find('/', slash + 1) != std::string::npos) {
        return std::string();
    }
    name[slash] = '.';
    return name;
}

std::string find_name() {
    if (adopted != nullptr) return msec_host_service(adopted);
    const char *said = getenv("MSEC_SERVICE");
    std::string name = said != nullptr && *said != 0 ? said : named_by_folder();
    return name.empty() ? "default.default" : name;
}

}  // namespace

void adopt(const msec_host *host) { adopted = host; }

const msec_host *host() { return adopted; }

const msec_engine *engine() {
    if (adopted != nullptr) return msec_host_engine(adopted);
    static std::mutex opening;
    static msec_engine *opened = nullptr;
    const std::lock_guard<std::mutex> lock(opening);
    if (opened == nullptr) {
        msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
        options.cores = 1;
        options.service = service_name().c_str();
        if (msec_engine_new(&options, &opened) != MSEC_OK) return nullptr;
        takes_part = true;
    }
    return opened;
}

const std::string &service_name() {
    static const std::string name = find_name();
    return name;
}

running::running() {
    if (adopted == nullptr) take();
}

running::~running() {
    if (adopted == nullptr) give();
}

waiting::waiting() : gave_(adopted == nullptr && (msec_on_coroutine() || takes_part)) {
    if (gave_) give();
}

waiting::~waiting() {
    if (gave_) take();
}

int wait_fd(int fd, int events, int timeout_ms) {
    pollfd asked = {fd, static_cast<short>(events), 0};
    const waiting while_it_waits;
    if (!msec_on_coroutine()) {
        const int ready = poll(&asked, 1, timeout_ms);
        return ready <= 0 ? ready : asked.revents;
    }
    if (timeout_ms != 0) {
        const uint32_t what = events & POLLOUT ? MSEC_WRITABLE : MSEC_READABLE;
        const int32_t code =
            msec_wait_fd(fd, what, timeout_ms < 0 ? 0 : static_cast<uint32_t>(timeout_ms));
        if (code == MSEC_ETIMEOUT) return 0;
        if (code != MSEC_OK) {
            errno = code == MSEC_ECANCELLED ? ECANCELED : EBADF;
            return -1;
        }
    }
    const int ready = poll(&asked, 1, 0);
    return ready <= 0 ? ready : asked.revents;
}

}  // namespace compat
}  // namespace msec
