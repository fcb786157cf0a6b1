// Methods in the manner of old plugins: the log, counters, configuration, and what becomes of a
// request that nobody waits for any more.

#include <stdio.h>

#include <msec.h>

#include "configini.h"
#include "mt_incl.h"
#include "runtime.h"
#include "sppincl.h"
#include "srpc_log.h"

using namespace NS_MICRO_THREAD;

static CServerBase g_server;
static int g_evaluated = 0;
static bool g_go = false, g_loops = false;

static int32_t Answer(msec_context *context, const string &text) {
    return msec_context_answer(context, text.data(), text.size());
}

static string Body(msec_context *context) {
    const msec_slice body = msec_context_body(context);
    return string(body.data == NULL ? "" : body.data, body.size);
}

static int Evaluated() { return ++g_evaluated; }

class CSetsOption : public IMtTask {
    virtual int Process() {
        NGLOG_SET_OPTION("child", 0);
        NGLOG_INFO("by a sub-thread");
        return 0;
    }
};

// The body is the user, whom colouring may wait for.
static int32_t Log(void *, msec_context *context) {
    g_evaluated = 0;
    NGLOG_SET_OPTION("uin", Body(context).c_str());
    RLOG_SET_OPTION("count", 7);
    CSetsOption child;
    IMtTaskList tasks(1, &child);
    mt_exec_all_task(tasks);
    NGLOG_INFO("both of %s\n", "user");
    RLOG_ERROR("remote only");
    if (child.GetResult() == 0) LLOG_FATAL("local only");
    else LLOG_FATAL("never");
    LLOG_DEBUG("detail %d", Evaluated());
    g_server.log_.LOG_P_FILE(LOG_DEBUG, "server's detail %d", Evaluated());
    g_server.log_.LOG_P_PID(LOG_ERROR, "server's %s", g_server.servicename().c_str());
    g_server.log_.log_i(0, LOG_INFO, "server's %d", g_server.servertype());
    g_server.log_.LOG_P(LOG_NONE, "never %d", Evaluated());
    return Answer(context, to_string(g_evaluated));
}

// The body is a port that nobody listens at.
static int32_t Report(void *, msec_context *context) {
    sockaddr_in nobody = {};
    nobody.sin_family = AF_INET;
    nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    nobody.sin_port = htons(atoi(Body(context).c_str()));
    char request[] = "x", answer[1];
    int size = sizeof(answer);
    mt_tcpsendrcv(&nobody, request, 1, answer, size, 5000, [](void *, int len) { return len; });
    mt_udpsendrcv(&nobody, request, 1, answer, size, 5000);
    ATTR_REPORT("orders");
    ATTR_REPORT(string("orders"));
    ATTR_REPORT_INC("bytes", 640);
    ATTR_REPORT_SET("stock", 9);
    ATTR_REPORT_SET("stock", 17);
    RPC_REPORT("caller [Demo.web]");
    MONITOR("plain one");
    MONITOR_INC("plain two", 2);
    MONITOR_SET("plain three", 3);
    ATTR_REPORT(string(200, 'x'));
    INIT_STAT_ITEM(3, "GetTitles");
    STEP_STAT_ITEM(3, 0, 12, "well");
    STEP_STAT_ITEM(3, 0, 14, "well");
    const int beyond = STEP_STAT_ITEM(100, 0, 1, "none") + STEP_STAT_ITEM(0, 30, 1, "none");
    g_server.stat_.init_statobj("turns", STAT_TYPE_SUM);
    g_server.stat_.step0("turns", 5);
    return Answer(context, to_string(beyond));
}

// The body is a path, or nothing.
static int32_t Config(void *, msec_context *context) {
    const string path = Body(context);
    string value = "untouched";
    const int code = path.empty() ? GetConfig("OLD", "colour", value)
                                  : GetConfig(path, "OLD", "colour", value);
    return Answer(context, to_string(code) + " " + value);
}

// Until it is told to go, by what the body says: each must let others run.
static int32_t Loops(void *, msec_context *context) {
    const string by = Body(context);
    int ends[2];
    if (pipe(ends) != 0) return MSEC_ESYSTEM_ERROR;
    g_loops = true;
    g_go = false;
    while (!g_go) {
        char byte;
        if (by == "sleep") mt_sleep(1);
        else if (by == "yield") mt_sleep(0);
        else if (by == "event") mt_wait_events(ends[0], 1, 1000);
        else mt_read(ends[0], &byte, 1, 1000);
    }
    close(ends[0]);
    close(ends[1]);
    g_loops = false;
    return Answer(context, "gone");
}

static int32_t Looping(void *, msec_context *context) {
    return Answer(context, g_loops ? "loops" : "none");
}

static int32_t Go(void *, msec_context *context) {
    g_go = true;
    return Answer(context, "");
}

static int g_apart = 0;

static void Apart(void *times) {
    for (long i = 0; i < (long)times; i++) {
        mt_sleep(10);
        g_apart++;
    }
    NGLOG_ERROR("a thread of nobody's ends");
}

// As plugins do that look after something.
static void Forever(void *) {
    while (true) mt_sleep(10);
}

static int32_t Starts(void *, msec_context *context) {
    if (mt_start_thread((void *)Forever, NULL) == NULL) return MSEC_ESYSTEM_ERROR;
    return Answer(context, mt_start_thread((void *)Apart, (void *)10) != NULL ? "begun" : "not");
}

static int32_t Init(const msec_host *host, msec_server_builder *methods) {
    msec::compat::adopt(host);
    const struct {
        const char *name;
        msec_handler handler;
    } all[] = {{"old.Old.Log", Log},         {"old.Old.Report", Report}, {"old.Old.Config", Config},
               {"old.Old.Loops", Loops},     {"old.Old.Go", Go},         {"old.Old.Starts", Starts},
               {"old.Old.Looping", Looping}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const int32_t code =
            msec_server_builder_method(methods, all[i].name, all[i].handler, NULL, NULL);
        if (code != MSEC_OK) return code;
    }
    return MSEC_OK;
}

extern "C" const msec_plugin *msec_plugin_v1() {
    static msec_plugin plugin = MSEC_PLUGIN_INIT;
    plugin.init = Init;
    return &plugin;
}
