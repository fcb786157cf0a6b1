#include "endpoint.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

namespace msec {
namespace compat {

address address_of(const std::string &text) {
    address read = {};
    const size_t kind = text.find('@');
    read.text = text.substr(0, kind);
    read.is_udp = kind != std::string::npos && text.substr(kind + 1) == "udp";
    const size_t colon = read.text.find(':');
    if (colon == std::string::npos || colon + 1 == read.text.size()) return read;
    char *end = nullptr;
    const unsigned long port = strtoul(read.text.c_str() + colon + 1, &end, 10);
    if (*end != 0 || read.text[colon + 1] < '0' || read.text[colon + 1] > '9' || port == 0 ||
        port > 65535) {
        return read;
    }
    read.where.sin_family = AF_INET;
    read.where.sin_port = htons(static_cast<uint16_t>(port));
    const std::string ip = read.text.substr(0, colon);
    read.is_one = inet_pton(AF_INET, ip.c_str(), &read.where.sin_addr) == 1;
    return read;
}

}  // namespace compat
}  // namespace msec
