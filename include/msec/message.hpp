// Messages: whatever has ParseFromArray, ByteSizeLong and SerializeToArray, as the generated
// messages of Protocol Buffers have, full or lite. Nothing of Protocol Buffers is included here.

#ifndef MSEC_MESSAGE_HPP
#define MSEC_MESSAGE_HPP

#include <cstdint>
#include <string>
#include <string_view>

#include "../msec.h"
#include "error.hpp"

namespace msec {

namespace detail {

/// Parses what came into a message.
template <class Message>
bool parse(Message &message, std::string_view bytes) {
    return bytes.size() <= INT32_MAX &&
           message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

/// A message as bytes; throws msec::error if it lacks required fields.
template <class Message>
std::string serialized(const Message &message) {
    std::string bytes(message.ByteSizeLong(), '\0');
    if (!message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()))) {
        throw error(status(MSEC_EINVALID_BODY, "the message lacks required fields"));
    }
    return bytes;
}

}  // namespace detail

}  // namespace msec

#endif
