// Looks at what a method finds around it: who works for which request, and on which thread.

#include "msg_probe_impl.h"

#include <pthread.h>

#include <stdexcept>

extern int g_turns;

static int g_running = 0;
static int g_overlaps = 0;
static pthread_t g_thread;

class CLookTask : public IMtTask
{
public:
    CSyncMsg* m_found;
    string m_caller;

    virtual int Process()
    {
        mt_sleep(5);
        m_found = CSyncFrame::Instance()->GetCurrentMsg();
        CRpcMsgBase* msg = dynamic_cast<CRpcMsgBase*>(m_found);
        if (msg != NULL)
            m_caller = msg->GetRpcHead().caller();
        return 0;
    }
};

// What a thread of mt_start_thread found: 1 no request, and its call came back.
static int g_apart = 0;

static void Apart(void* arg)
{
    Nothing request, response;
    NGLOG_INFO("a thread of its own, with %d", *(int*)arg);
    int ret = CallMethod("Test.plugin", "probe.ProbeService.Rest", request, response, 1000);
    bool none = CSyncFrame::Instance()->GetCurrentMsg() == NULL;
    g_apart = ret != 0 ? ret : none ? 1 : 2;
}

static string Tasks(CSyncMsg* own)
{
    CLookTask one, two;
    IMtTaskList list;
    list.push_back(&one);
    list.push_back(&two);
    if (mt_exec_all_task(list) != 0)
        return "no tasks";
    if (one.m_found != own || two.m_found != own)
        return "another request";
    return "both for " + two.m_caller;
}

static string Thread()
{
    static int arg = 7;
    g_apart = 0;
    if (mt_start_thread((void*)Apart, &arg) == NULL)
        return "no thread";
    for (int i = 0; g_apart == 0 && i < 200; i++)
        mt_sleep(10);
    return g_apart == 1 ? "alone, and answered" : errmsg(g_apart);
}

// All requests take turns on one thread: none runs while another has not come to wait.
static string Turns()
{
    pthread_t self = pthread_self();
    if (g_thread == 0)
        g_thread = self;
    if (g_thread != self || g_running != 0)
        g_overlaps++;
    g_running++;
    for (volatile int i = 0; i < 2000000; i++) {}
    g_running--;
    mt_sleep(1);
    return g_overlaps == 0 ? "in turns" : "at the same time";
}

int CProbeServiceMsg::Look(const Question* request, Answer* response)
{
    const string& what = request->what();
    if (what == "tasks")
        response->set_text(Tasks(this));
    else if (what == "thread")
        response->set_text(Thread());
    else if (what == "turns")
        response->set_text(Turns());
    else if (what == "loop")
    {
        int before = g_turns;
        for (int i = 0; g_turns < before + 3 && i < 500; i++)
            mt_sleep(10);
        response->set_text(g_turns < before + 3 ? "it stands" : "it turns");
    }
    else if (what == "returned")
    {
        response->set_text("and more");
        return 7;
    }
    else if (what == "failed")
        SetFailed(string("nothing to look at"));
    else if (what == "thrown")
        throw runtime_error("thrown by the probe");
    // Else nothing is set, though the answer must have a text.
    return 0;
}

int CProbeServiceMsg::Rest(const Nothing*, Nothing*)
{
    return 0;
}
