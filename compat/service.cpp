#include "srpc_service.h"

namespace srpc {

CMethodManager *CMethodManager::Instance() {
    static CMethodManager *const one = new CMethodManager;
    return one;
}

int32_t CMethodManager::RegisterService(Service *service, CRpcMsgBase *message) {
    if (service == NULL || message == NULL) return SRPC_ERR_PARA_ERROR;
    Registered added;
    added.service.reset(service);
    added.message.reset(message);
    for (size_t index = 0; index < m_services.size(); index++) {
        const ServiceDescriptor *there = m_services[index].service->GetDescriptor();
        if (there->full_name() == service->GetDescriptor()->full_name()) {
            return SRPC_ERR_PARA_ERROR;
        }
    }
    m_services.push_back(std::move(added));
    return 0;
}

}  // namespace srpc
