// Threads of control: tasks of a request, and threads of nobody's.

#include <sys/time.h>

#include <exception>
#include <memory>
#include <new>

#include "apart.h"
#include "mt_api.h"
#include "request.h"
#include "runtime.h"

using namespace msec::compat;

namespace NS_MICRO_THREAD {

namespace {

/// A task, what it works for, and what became of it. Lives on the stack of who waits for it.
struct child {
    IMtTask *task;
    request *parent;
    msec_task *handle;
    std::exception_ptr thrown;
};

int32_t run_child(void *argument) {
    child &one = *static_cast<child *>(argument);
    const running with_baton;
    const works_for parent(*one.parent);
    try {
        one.task->SetResult(one.task->Process());
    } catch (...) {
        one.thrown = std::current_exception();
    }
    return 0;
}

struct start {
    void (*entry)(void *);
    void *argument;
};

void log_failure(const char *what) {
    const place here = place_of(__FILE__, __LINE__, "mt_start_thread");
    log_write(LEVEL_ERROR, here, "a thread of mt_start_thread threw an exception: %s", what);
}

int32_t run_thread(void *argument) {
    const std::unique_ptr<start> begin(static_cast<start *>(argument));
    const running with_baton;
    request own;
    const works_for alone(own);
    try {
        begin->entry(begin->argument);
    } catch (const std::exception &thrown) {
        log_failure(thrown.what());
    } catch (...) {
        log_failure("one that is no std::exception");
    }
    return 0;
}

}  // namespace

int mt_exec_all_task(IMtTaskList &tasks) {
    const msec_engine *on = engine();
    if (on == nullptr) return -1;
    request &parent = current_request();
    std::vector<child> children;
    children.reserve(tasks.size());
    bool begun = true;
    for (size_t i = 0; i < tasks.size() && begun; i++) {
        if (tasks[i] == nullptr) {
            begun = false;
            break;
        }
        children.push_back(child{tasks[i], &parent, nullptr, std::exception_ptr()});
        child &last = children.back();
        if (msec_spawn(on, run_child, &last, &last.handle) != MSEC_OK) {
            children.pop_back();
            begun = false;
        }
    }
    {
        const waiting while_they_work;
        for (size_t i = 0; i < children.size(); i++) {
            // They use what is on this stack, so they are waited for also when nobody waits here.
            if (msec_task_join_uncancelled(children[i].handle, nullptr) != MSEC_OK) begun = false;
        }
    }
    for (size_t i = 0; i < children.size(); i++) {
        if (children[i].thrown) std::rethrow_exception(children[i].thrown);
    }
    return begun ? 0 : -1;
}

void *mt_start_thread(void *entry, void *args) {
    if (entry == nullptr) return nullptr;
    start *begin = new (std::nothrow) start;
    if (begin == nullptr) return nullptr;
    begin->entry = reinterpret_cast<void (*)(void *)>(entry);
    begin->argument = args;
    if (spawn_apart(run_thread, begin, nullptr) != MSEC_OK) {
        delete begin;
        return nullptr;
    }
    // All that anybody does with it is to compare it with NULL.
    return entry;
}

void mt_sleep(int ms) { sleep_ms(ms); }

unsigned long long mt_time_ms(void) {
    timeval now;
    gettimeofday(&now, nullptr);
    return static_cast<unsigned long long>(now.tv_sec) * 1000 +
           static_cast<unsigned long long>(now.tv_usec) / 1000;
}

void mt_set_msg_private(void *data) { current_request().private_data = data; }

void *mt_get_msg_private() { return current_request().private_data; }

bool mt_init_frame() { return engine() != nullptr; }

void mt_set_stack_size(unsigned int bytes) { set_stack_size(bytes); }

}  // namespace NS_MICRO_THREAD
