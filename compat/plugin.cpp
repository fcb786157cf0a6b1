// A service written for the original as a plugin: its own three functions, and what msec asks for.
//
//   msec_plugin.init ─► spp_handle_init ─► CMethodManager ─► a handler for each method
//   a request        ─► C<Service>Msg::New, its head ─► Service::CallMethod ─► answer and result
//   msec_plugin.fini ─► spp_handle_fini
//
// Code for the original expects that one system thread runs it. The worker is told to have one core
// (MSEC_COMPAT_PLUGIN), on which requests, tasks and spp_handle_loop take turns; init and fini run
// on the main thread while no request is worked on.

#include <msec.h>

#include <atomic>
#include <exception>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.pb.h>

#include "package.h"
#include "request.h"
#include "runtime.h"
#include "sppincl.h"
#include "srpc_plugin.h"
#include "srpc_service.h"

namespace msec {
namespace compat {

namespace {

/// How long spp_handle_loop rests between its turns: as long as the original's loop did that had
/// nothing to do.
const uint32_t LOOP_REST_MS = 10;

int (*handle_init)(void *, void *) = nullptr;
void (*handle_fini)(void *, void *) = nullptr;
void (*handle_loop)(void *) = nullptr;

/// A method of a service. Lives as long as the process.
struct method {
    google::protobuf::Service *service;
    const google::protobuf::MethodDescriptor *described;
    srpc::CRpcMsgBase *message;
};

spp::comm::CServerBase *server() {
    static spp::comm::CServerBase *const one = new spp::comm::CServerBase;
    return one;
}

std::string text_of(msec_slice slice) {
    return slice.data == nullptr ? std::string() : std::string(slice.data, slice.size);
}

/// The head of a request, as far as the engine lets requests be seen: the sequence is one of the
/// connection's, and means nothing here.
srpc::CRpcHead head_of(const msec_context *context) {
    srpc::CRpcHead head;
    const std::string name = text_of(msec_context_method(context));
    head.set_sequence(srpc::newseq());
    head.set_coloring(msec_context_is_dyed(context) ? 1 : 0);
    head.set_color_id(hash_of(name));
    head.set_flow_id(msec_context_flow_id(context));
    head.set_caller(text_of(msec_context_caller(context)));
    head.set_method_name(name);
    return head;
}

/// Counts a failure by the name that the original gave to it; its code.
int32_t counted(int32_t code) {
    attribute_add("frm.rpc ", srpc::errmsg(code), 1);
    return code;
}

int32_t fail(msec_context *context, int32_t code, const std::string &text) {
    msec_context_fail_text(context, text.data(), text.size());
    return counted(code);
}

int32_t serve(void *userdata, msec_context *context) {
    const method &called = *static_cast<const method *>(userdata);
    attribute_add("frm.rpc ", "caller [" + text_of(msec_context_caller(context)) + "]", 1);
    const std::unique_ptr<srpc::CRpcMsgBase> message(called.message->New());
    if (message == nullptr) return fail(context, srpc::SRPC_ERR_NO_MEMORY, "New() made no message");
    message->SetRpcHead(head_of(context));
    const std::unique_ptr<google::protobuf::Message> asked(
        called.service->GetRequestPrototype(called.described).New());
    const std::unique_ptr<google::protobuf::Message> response(
        called.service->GetResponsePrototype(called.described).New());
    const msec_slice body = msec_context_body(context);
    if (body.size > INT32_MAX || !asked->ParseFromArray(body.data, static_cast<int>(body.size))) {
        return fail(context, srpc::SRPC_ERR_INVALID_PKG_BODY,
                    "the body is no " + called.described->input_type()->full_name());
    }
    message->m_request = asked.get();
    message->m_response = response.get();
    {
        request worked_on;
        worked_on.message = static_cast<SPP_SYNCFRAME::CSyncMsg *>(message.get());
        const works_for current(worked_on);
        called.service->CallMethod(called.described, message.get(), asked.get(), response.get(),
                                   nullptr);
    }
    msec_context_set_result(context, message->GetSrvRet());
    if (message->Failed()) {
        return fail(context, srpc::SRPC_ERR_SERVICE_IMPL_FAILED, message->ErrorText());
    }
    if (!response->IsInitialized()) {
        return fail(context, srpc::SRPC_ERR_BODY_UNINIT,
                    "the answer lacks " + response->InitializationErrorString());
    }
    const size_t size = response->ByteSizeLong();
    char *place = size > INT32_MAX ? nullptr : msec_context_answer_place(context, size);
    if (place == nullptr) return counted(srpc::SRPC_ERR_NO_MEMORY);
    response->SerializeToArray(place, static_cast<int>(size));
    return 0;
}

/// A file and all that it imports, imports first.
void add_file(const google::protobuf::FileDescriptor *file, std::set<std::string> &seen,
              google::protobuf::FileDescriptorSet &files) {
    if (!seen.insert(file->name()).second) return;
    for (int index = 0; index < file->dependency_count(); index++) {
        add_file(file->dependency(index), seen, files);
    }
    file->CopyTo(files.add_file());
}

/// Adds all methods that were registered, and what their messages look like.
void add_methods(msec_server_builder *builder) {
    std::set<std::string> seen;
    google::protobuf::FileDescriptorSet files;
    const std::vector<srpc::CMethodManager::Registered> &services =
        srpc::CMethodManager::Instance()->Services();
    for (size_t index = 0; index < services.size(); index++) {
        google::protobuf::Service *service = services[index].service.get();
        const google::protobuf::ServiceDescriptor *described = service->GetDescriptor();
        add_file(described->file(), seen, files);
        for (int number = 0; number < described->method_count(); number++) {
            method *one = new method;
            one->service = service;
            one->described = described->method(number);
            one->message = services[index].message.get();
            msec_server_builder_method(builder, one->described->full_name().c_str(), serve, one,
                                       nullptr);
        }
    }
    const std::string bytes = files.SerializeAsString();
    if (!bytes.empty()) msec_server_builder_descriptors(builder, bytes.data(), bytes.size());
}

/// Whether spp_handle_loop has to end; on the core's thread and the main thread.
std::atomic<bool> ending(false);
msec_task *looping = nullptr;

int32_t loop(void *) {
    while (!ending.load()) {
        handle_loop(server());
        msec_sleep(LOOP_REST_MS);
    }
    return 0;
}

int32_t init(const msec_host *host, msec_server_builder *builder) {
    adopt(host);
    std::string conf = msec_host_conf(host);
    std::string why;
    int ended = -1;
    try {
        ended = handle_init(&conf[0], server());
        if (ended != 0) why = "spp_handle_init returned " + std::to_string(ended);
    } catch (const std::exception &thrown) {
        why = std::string("spp_handle_init threw ") + thrown.what();
    } catch (...) {
        why = "spp_handle_init threw an exception that is no std::exception";
    }
    if (why.empty() && srpc::CMethodManager::Instance()->Services().empty()) {
        why = "spp_handle_init has registered no service, so there is nothing to call";
    }
    if (!why.empty()) {
        msec_host_fail_text(host, why.data(), why.size());
        return MSEC_ESERVICE_FAILED;
    }
    add_methods(builder);
    if (handle_loop == nullptr) return MSEC_OK;
    return msec_spawn(msec_host_engine(host), loop, nullptr, &looping);
}

void fini() {
    ending.store(true);
    if (looping != nullptr) msec_task_join_uncancelled(looping,
                                   nullptr);
    if (handle_fini == nullptr) return;
    std::string conf = msec_host_conf(host());
    handle_fini(&conf[0], server());
}

}  // namespace

const msec_plugin *plugin(int (*init_)(void *, void *), void (*fini_)(void *, void *),
                          void (*loop_)(void *)) {
    static msec_plugin told = MSEC_PLUGIN_INIT;
    handle_init = init_;
    handle_fini = fini_;
    handle_loop = loop_;
    told.init = init;
    told.fini = fini;
    return &told;
}

}  // namespace compat
}  // namespace msec
