// The service city.post as a plugin: what `msec host` starts and ends. `msec gen --compat` does not
// write this file again. Lines of your own go into spp_handle_init and spp_handle_fini.

#include "srpcincl.h"
#include "srpc_plugin.h"

#include "msg_city_post_impl.h"
#include "service_city_post_impl.hpp"

// Before the first request. Another result than 0 keeps the service from starting.
extern "C" int spp_handle_init(void *conf, void *server) {
    CServerBase *base = static_cast<CServerBase *>(server);
    NGLOG_DEBUG("spp_handle_init, config: %s", static_cast<const char *>(conf));
    if (base->servertype() != SERVER_TYPE_WORKER) return 0;
    int ret = 0;
    ret |= CMethodManager::Instance()->RegisterService(
        new CRpcPostServiceImpl, new CPostServiceMsg);
    ret |= CMethodManager::Instance()->RegisterService(
        new CRpcDepotServiceImpl, new CDepotServiceMsg);
    return ret;
}

// After the last request.
extern "C" void spp_handle_fini(void *, void *) {
    CSyncFrame::Destroy();
}

// Every 10 milliseconds, on a coroutine.
extern "C" void spp_handle_loop(void *) {}

MSEC_COMPAT_PLUGIN;
