#include "runtime.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "apart.h"
#include "net.h"

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

/// KiB of a coroutine's stack; 0: as the engine has it.
std::atomic<uint32_t> stack_kb(0);

/// How long the end of a program waits for its log: for a slow disk, not for one that hangs.
const uint32_t FLUSH_MS = 2000;

void flush_log() { msec_log_flush(FLUSH_MS); }

int32_t end_at_once(void *) { return 0; }

int32_t sleep_apart(void *ms) {
    msec_sleep(*static_cast<const uint32_t *>(ms));
    return 0;
}

/// What a descriptor is ready for, within that time; 0 nothing; -1 with errno.
int look(pollfd &asked, int timeout_ms) {
    const limit end(timeout_ms);
    int ready;
    do {
        ready = poll(&asked, 1, end.left_ms());
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) return ready;
    if ((asked.revents & POLLNVAL) == 0) return asked.revents;
    errno = EBADF;
    return -1;
}

/// How long a descriptor may have been closed before who waits for it is told.
const int LOOK_MS = 1000;

/// What stands behind a descriptor. A number that is closed is soon another file's.
class file {
public:
    explicit file(int fd) : is_there_(fstat(fd, &told_) == 0) {}
    bool is(int fd) const {
        const file now(fd);
        return is_there_ && now.is_there_ && now.told_.st_dev == told_.st_dev &&
               now.told_.st_ino == told_.st_ino;
    }

private:
    struct stat told_;
    bool is_there_;
};

/// Waits for a descriptor, on a coroutine. MSEC_OK, or the code of msec_wait_fd.
int32_t suspend_for(int fd, int events, int timeout_ms) {
    const uint32_t patience_ms = timeout_ms < 0 ? 0 : static_cast<uint32_t>(timeout_ms);
    if ((events & POLLIN) == 0 || (events & POLLOUT) == 0) {
        return msec_wait_fd(fd, events & POLLOUT ? MSEC_WRITABLE : MSEC_READABLE, patience_ms);
    }
    // The engine waits for one of the two, and this for either.
    const int either = epoll_create1(EPOLL_CLOEXEC);
    if (either < 0) return MSEC_ESYSTEM_ERROR;
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT;
    int32_t code = MSEC_ESYSTEM_ERROR;
    if (epoll_ctl(either, EPOLL_CTL_ADD, fd, &event) == 0) {
        code = msec_wait_fd(either, MSEC_READABLE, patience_ms);
    }
    close(either);
    return code;
}

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
        options.stack_kb = stack_kb;
        options.service = service_name().c_str();
        if (msec_engine_new(&options, &opened) != MSEC_OK) return nullptr;
        takes_part = true;
        // Old code has written what it logged when its call returned, and ends as it likes.
        atexit(flush_log);
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

void step_aside() {
    msec_task *nothing;
    if (msec_spawn(engine(), end_at_once, nullptr, &nothing) == MSEC_OK &&
        msec_task_join_uncancelled(nothing, nullptr) == MSEC_ESYSTEM_ERROR) {
        msec_task_free(nothing);
    }
}

int wait_fd(int fd, int events, int timeout_ms) {
    pollfd asked = {fd, static_cast<short>(events), 0};
    const waiting while_it_waits;
    if (!msec_on_coroutine()) return look(asked, timeout_ms);
    // What is ready is not waited for, and files always are, which the engine cannot watch.
    const int already = look(asked, 0);
    if (already != 0) return already;
    if (timeout_ms == 0) {
        // Who asks again and again has others do what he asks for.
        msec_yield();
        return look(asked, 0);
    }
    const file begun(fd);
    const limit end(timeout_ms);
    for (;;) {
        const int left_ms = end.left_ms();
        if (left_ms == 0) return 0;
        const bool is_last = left_ms > 0 && left_ms <= LOOK_MS;
        const int32_t code = suspend_for(fd, events, is_last ? left_ms : LOOK_MS);
        if (code == MSEC_ECANCELLED) {
            errno = ECANCELED;
            return -1;
        }
        if ((code != MSEC_OK && code != MSEC_ETIMEOUT) || !begun.is(fd)) {
            errno = EBADF;
            return -1;
        }
        if (code == MSEC_OK) return look(asked, 0);
    }
}

void sleep_ms(int ms) {
    uint32_t left_ms = ms < 0 ? 0 : static_cast<uint32_t>(ms);
    const waiting while_it_sleeps;
    if (left_ms == 0) {
        msec_yield();
        return;
    }
    if (msec_sleep(left_ms) != MSEC_ECANCELLED) return;
    msec_task *sleeper;
    if (spawn_apart(sleep_apart, &left_ms, &sleeper) == MSEC_OK) {
        msec_task_join_uncancelled(sleeper, nullptr);
    } else {
        step_aside();
    }
}

void set_stack_size(unsigned bytes) {
    const unsigned kb = bytes / 1024 + (bytes % 1024 != 0);
    stack_kb = std::min(std::max(kb, 64u), 65536u);
}

}  // namespace compat
}  // namespace msec
