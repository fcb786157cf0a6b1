// A program of old that is no plugin, and shares between its threads of control what it likes: only
// one of them runs at a time, main() among them.

#include <stdio.h>
#include <stdlib.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "mt_incl.h"

using namespace std;
using namespace NS_MICRO_THREAD;

static const int kThreads = 20, kRounds = 200;

// Guarded by nothing.
static volatile int g_counter = 0;
static int g_running = 0, g_ended = 0, g_together = 0;
static string g_order;

// What a second thread would ruin: another who is in between, and a lost addition.
static void Count() {
    if (++g_running != 1) g_together++;
    const int seen = g_counter;
    for (volatile int i = 0; i < 500; i++) {
    }
    g_counter = seen + 1;
    g_running--;
}

static void Thread(void *args) {
    const bool sleeps = args != NULL;
    for (int i = 0; i < kRounds; i++) {
        Count();
        if (sleeps && i % 50 == 0) mt_sleep(1);
        else mt_sleep(0);
    }
    g_ended++;
}

class CSquare : public IMtTask {
public:
    CSquare(int number, int ms) : number_(number), ms_(ms), private_(NULL) {}

    virtual int Process() {
        private_ = mt_get_msg_private();
        mt_sleep(ms_);
        g_order += to_string(number_);
        return number_ * number_;
    }

    int number_;
    int ms_;
    void *private_;
};

class CThrows : public IMtTask {
    virtual int Process() { throw runtime_error("a task gave up"); }
};

static void Tasks() {
    int mine = 0;
    mt_set_msg_private(&mine);
    CSquare one(1, 600), two(2, 400), three(3, 200);
    IMtTaskList tasks;
    tasks.push_back(&one);
    tasks.push_back(&two);
    tasks.push_back(&three);
    const unsigned long long begin = mt_time_ms();
    const int code = mt_exec_all_task(tasks);
    const unsigned long long took = mt_time_ms() - begin;
    printf("tasks %d: %d %d %d in order %s, %s, %s\n", code, one.GetResult(), two.GetResult(),
           three.GetResult(), g_order.c_str(), took >= 600 && took < 1100 ? "at once" : "too long",
           one.private_ == &mine ? "of one request" : "of no request");

    CThrows throws;
    tasks.push_back(&throws);
    try {
        mt_exec_all_task(tasks);
        printf("nothing was thrown\n");
    } catch (const exception &thrown) {
        printf("thrown: %s\n", thrown.what());
    }
    IMtTaskList none;
    printf("none: %d\n", mt_exec_all_task(none));
}

static void *g_seen = &g_seen;

static void LooksForPrivate(void *) {
    g_seen = mt_get_msg_private();
    g_ended++;
}

// More than a stack has that nobody asked for.
static void Deep(void *) {
    volatile char data[700 * 1024];
    for (size_t i = 0; i < sizeof(data); i += 4096) data[i] = 1;
    g_ended++;
}

int main() {
    mt_set_stack_size(1024 * 1024);
    if (!mt_init_frame()) return 1;
    for (int i = 0; i < kThreads; i++) {
        if (mt_start_thread((void *)Thread, i % 2 ? (void *)&g_counter : NULL) == NULL) return 1;
    }
    for (int i = 0; i < kRounds; i++) {
        Count();
        mt_sleep(i % 50 == 0);
    }
    while (g_ended < kThreads) mt_sleep(1);
    printf("counted %d, together %d\n", g_counter, g_together);

    Tasks();
    mt_start_thread((void *)LooksForPrivate, NULL);
    mt_start_thread((void *)Deep, NULL);
    while (g_ended < kThreads + 2) mt_sleep(1);
    printf("a thread of its own has %s\n", g_seen == NULL ? "no request" : "a request of others");
    return 0;
}
