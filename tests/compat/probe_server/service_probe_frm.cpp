// The probe as a plugin, with lines of its own. `msec gen --compat` leaves it as it is.

#include "srpcincl.h"
#include "srpc_plugin.h"

#include "msg_probe_impl.h"
#include "service_probe_impl.hpp"

int g_turns = 0;

extern "C" int spp_handle_init(void* conf, void* server)
{
    CServerBase* base = (CServerBase*)server;
    if (string((char*)conf) == "broken")
        return -7;
    if (base->servertype() == SERVER_TYPE_WORKER)
        CMethodManager::Instance()->RegisterService(new CRpcProbeServiceImpl, new CProbeServiceMsg);
    NGLOG_INFO("%s begins with %s", base->servicename().c_str(), (char*)conf);
    return 0;
}

extern "C" void spp_handle_fini(void* conf, void*)
{
    NGLOG_INFO("ended with %s", (char*)conf);
}

extern "C" void spp_handle_loop(void*)
{
    mt_sleep(1);
    g_turns++;
}

MSEC_COMPAT_PLUGIN;
