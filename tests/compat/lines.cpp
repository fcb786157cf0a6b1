// A program of old that logs, and ends right afterwards in one of several ways.

#include <stdlib.h>
#include <syslog.h>

#include "mt_api.h"
#include "sppincl.h"
#include "srpc_log.h"

using namespace NS_MICRO_THREAD;

static void Log(void *ends) {
    // With the number that syslog.h has for it.
    CServerBase server;
    server.log_.LOG_P_FILE(LOG_INFO, "server's line");
    server.log_.LOG_P_FILE(LOG_DEBUG, "server's detail");
    NGLOG_SET_OPTION("uin", 5L);
    for (int i = 0; i < 100; i++) NGLOG_ERROR("line %d", i);
    if (ends != NULL) exit(3);
}

int main(int argc, char **argv) {
    const string end = argc == 2 ? argv[1] : "";
    if (!mt_init_frame()) return 1;
    if (end == "thread") {
        mt_start_thread((void *)Log, argv);
        while (true) mt_sleep(10);
    }
    Log(end == "exit" ? argv : NULL);
    return 3;
}
