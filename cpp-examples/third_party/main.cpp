// A protocol that the engine does not know: Redis. Bytes out, and a function that finds the end of
// the answer.
//
//     third_party 127.0.0.1:6379

#include <cstdio>
#include <exception>
#include <string>

#include "msec.hpp"

// How long the first answer in these bytes is: a line, or a line with a length and a text.
static int64_t length(std::string_view bytes) {
    const size_t line = bytes.find("\r\n");
    if (line == bytes.npos) return 0;
    if (bytes[0] != '$') return static_cast<int64_t>(line) + 2;
    const long text = std::stol(std::string(bytes.substr(1, line - 1)));
    const size_t whole = line + 2 + (text < 0 ? 0 : static_cast<size_t>(text) + 2);
    return bytes.size() < whole ? 0 : static_cast<int64_t>(whole);
}

int main(int argc, char **argv) try {
    const std::string redis = argc > 1 ? argv[1] : "127.0.0.1:6379";
    msec::engine engine;
    int failures = 0;
    msec::task task = msec::spawn(engine, [&] {
        for (const char *command : {"PING\r\n", "SET msec engine\r\n", "GET msec\r\n"}) {
            auto answer = msec::call_third_party(redis, command, length);
            failures += !answer;
            std::printf("%s", answer ? answer->c_str() : (answer.status().text() + "\n").c_str());
        }
    });
    task.join();
    return failures;
} catch (const std::exception &thrown) {
    std::fprintf(stderr, "third_party: %s\n", thrown.what());
    return 1;
}
