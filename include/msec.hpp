// msec for C++17: everything of msec.h as types that clean up after themselves. Header only; link
// libmsec. Here is all of it; each file of msec/ has one noun, and can be included alone.
//
// A service, with messages of Protocol Buffers:
//
//     msec::engine engine;
//     msec::server server = msec::server::describe()
//         .method<EchoRequest, EchoResponse>("echo.EchoService.Echo",
//             [](msec::context &, const EchoRequest &request, EchoResponse &response) {
//                 response.set_message(request.message());
//                 return msec::status();
//             })
//         .listen("127.0.0.1:7963")
//         .start(engine);
//
// And a call:
//
//     msec::client users(engine, "Demo.users");
//     auto found = users.call<FindResponse>("demo.Users.Find", request);
//     if (!found) return found.status();
//     use(found->name());
//
// Conventions, beside those of msec.h:
//
// * What can fail because of others (a call, a lock with a time limit) returns a msec::status or a
//   msec::result, and throws nothing. What fails because of the program or its machine (an engine
//   that cannot be started, an address that is none) throws msec::error.
// * An exception that leaves a handler ends the request: its caller gets -18 with what().
//   Exceptions may be thrown and caught around anything that suspends: each coroutine has its own.
// * A message is anything with ParseFromArray, ByteSizeLong and SerializeToArray: a generated
//   message of protobuf 3 or later, full or lite. None of it is included here.
// * Objects of these types may be used from every thread at the same time; they must not be
//   destroyed or moved from meanwhile.

#ifndef MSEC_HPP
#define MSEC_HPP

#include "msec.h"
#include "msec/bridge.hpp"
#include "msec/channel.hpp"
#include "msec/client.hpp"
#include "msec/condition.hpp"
#include "msec/context.hpp"
#include "msec/engine.hpp"
#include "msec/error.hpp"
#include "msec/host.hpp"
#include "msec/local.hpp"
#include "msec/log.hpp"
#include "msec/message.hpp"
#include "msec/method.hpp"
#include "msec/metric.hpp"
#include "msec/mutex.hpp"
#include "msec/offload.hpp"
#include "msec/plugin.hpp"
#include "msec/raw.hpp"
#include "msec/readiness.hpp"
#include "msec/scope.hpp"
#include "msec/select.hpp"
#include "msec/semaphore.hpp"
#include "msec/server.hpp"
#include "msec/task.hpp"

#endif
