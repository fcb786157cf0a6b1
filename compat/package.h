// Frames of SRPC as bytes: what is sent where no engine does it.
//
//   ( head_bytes:u32 body_bytes:u32 head body )      lengths in network order

#ifndef MSEC_COMPAT_PACKAGE_H
#define MSEC_COMPAT_PACKAGE_H

#include <stddef.h>
#include <stdint.h>

#include <string>

#include <google/protobuf/message.h>

#include "srpc.pb.h"

namespace msec {
namespace compat {

/// A message as bytes: -8 if it lacks required fields.
int32_t body_of(const google::protobuf::Message &message, std::string &body);

/// A message out of the body of an answer: -17 if there is none and the type must have one; -5 if
/// it is of another type.
int32_t read_body(const char *data, size_t size, google::protobuf::Message &message);

/// A frame, appended to nothing: -7 if the head lacks required fields.
int32_t pack(const srpc::CRpcHead &head, const std::string &body, std::string &package);

/// A whole frame, no more and no less: its head, and where its body is. -1, -3, or -4.
int32_t unpack(const char *package, size_t size, srpc::CRpcHead &head, const char *&body,
               size_t &body_size);

/// The hash of a method's name, as color_id has it.
uint32_t hash_of(const std::string &method);

}  // namespace compat
}  // namespace msec

#endif
