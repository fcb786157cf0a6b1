#include "package.h"

#include <limits.h>

#include <google/protobuf/descriptor.h>

#include "srpc_proto.h"

namespace msec {
namespace compat {

namespace {

const unsigned char BEGIN = 0x28, END = 0x29;
const size_t HEAD_AT = 9, FRAME_BYTES = 10;

void put(std::string &to, uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        to.push_back(static_cast<char>(number >> shift & 0xff));
    }
}

uint32_t number_at(const char *from) {
    uint32_t number = 0;
    for (int index = 0; index < 4; index++) {
        number = number << 8 | static_cast<unsigned char>(from[index]);
    }
    return number;
}

}  // namespace

int32_t body_of(const google::protobuf::Message &message, std::string &body) {
    if (!message.IsInitialized()) return srpc::SRPC_ERR_BODY_UNINIT;
    return message.SerializeToString(&body) ? 0 : srpc::SRPC_ERR_BODY_UNINIT;
}

int32_t read_body(const char *data, size_t size, google::protobuf::Message &message) {
    if (size > INT_MAX) return srpc::SRPC_ERR_INVALID_PKG_BODY;
    if (message.ParseFromArray(data, static_cast<int>(size))) return 0;
    return size == 0 ? srpc::SRPC_ERR_NO_BODY : srpc::SRPC_ERR_INVALID_PKG_BODY;
}

int32_t pack(const srpc::CRpcHead &head, const std::string &body, std::string &package) {
    if (!head.IsInitialized()) return srpc::SRPC_ERR_HEADER_UNINIT;
    const size_t head_size = head.ByteSizeLong();
    if (head_size + body.size() > INT_MAX - FRAME_BYTES) return srpc::SRPC_ERR_PARA_ERROR;
    package.clear();
    package.reserve(head_size + body.size() + FRAME_BYTES);
    package.push_back(static_cast<char>(BEGIN));
    put(package, static_cast<uint32_t>(head_size));
    put(package, static_cast<uint32_t>(body.size()));
    if (!head.AppendToString(&package)) return srpc::SRPC_ERR_HEADER_UNINIT;
    package += body;
    package.push_back(static_cast<char>(END));
    return 0;
}

int32_t unpack(const char *package, size_t size, srpc::CRpcHead &head, const char *&body,
               size_t &body_size) {
    if (package == nullptr || size == 0 || size > INT_MAX) return srpc::SRPC_ERR_PARA_ERROR;
    const int32_t whole =
        srpc::SrpcCheckPkgLen(const_cast<char *>(package), static_cast<int32_t>(size));
    if (whole < 0 || static_cast<size_t>(whole) != size) return srpc::SRPC_ERR_INVALID_PKG;
    const uint32_t head_size = number_at(package + 1);
    if (!head.ParseFromArray(package + HEAD_AT, static_cast<int>(head_size))) {
        return srpc::SRPC_ERR_INVALID_PKG_HEAD;
    }
    body = package + HEAD_AT + head_size;
    body_size = number_at(package + 5);
    return 0;
}

uint32_t hash_of(const std::string &method) {
    uint32_t hash = 5381;
    for (size_t index = 0; index < method.size(); index++) {
        hash = hash * 33 + static_cast<unsigned char>(method[index]);
    }
    return hash;
}

}  // namespace compat
}  // namespace msec

namespace srpc {

int32_t SrpcCheckPkgLen(void *buffer, int32_t length) {
    using namespace msec::compat;
    const char *bytes = static_cast<const char *>(buffer);
    if (bytes == nullptr || length <= 0) return SRPC_ERR_PARA_ERROR;
    if (static_cast<size_t>(length) <= FRAME_BYTES) return 0;
    if (static_cast<unsigned char>(bytes[0]) != BEGIN) return SRPC_ERR_INVALID_PKG;
    const uint64_t head = number_at(bytes + 1), body = number_at(bytes + 5);
    const uint64_t whole = head + body + FRAME_BYTES;
    if (head == 0 || head > INT_MAX || body > INT_MAX || whole > INT_MAX) {
        return SRPC_ERR_INVALID_PKG;
    }
    if (whole > static_cast<uint64_t>(length)) return 0;
    if (static_cast<unsigned char>(bytes[whole - 1]) != END) return SRPC_ERR_INVALID_PKG;
    return static_cast<int32_t>(whole);
}

}  // namespace srpc
