// The shelves: which book stands where.

#include "msg_shelf_impl.h"

#include "monitor.h"

static map<string, string> g_places;

static void Fill() {
    g_places["Emma"] = "A 3";
    g_places["Persuasion"] = "A 4";
}

int CShelfServiceMsg::Find(const FindRequest* request, FindResponse* response)
{
    if (g_places.empty())
        Fill();
    ATTR_REPORT("searched");
    map<string, string>::iterator it = g_places.find(request->title());
    if (it == g_places.end())
    {
        NGLOG_ERROR("no book %s", request->title().c_str());
        SetFailed(404);
        return -1;
    }
    response->set_place(it->second);
    response->set_copies(2);
    return 0;
}
