// Files that were read are remembered with what told them apart: device, file, size and times. A
// call looks at those and, if they are the same, at what is remembered.
//
// Times alone would not do. File systems count them in ticks of the kernel, so a file may change
// twice within one, the second time behind the back of who has read it after the first. What
// changed right before it was read is therefore read once more.

#include "configini.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <unordered_map>
#include <utility>

namespace {

enum { FOUND = 0, NO_FILE = -1, NO_VALUE = -2, BAD_FILE = -3 };

/// Files that are remembered; others are read each time.
const size_t FILES_MAX = 64;
/// Longer than a tick of the kernel, which is up to 10 ms.
const int64_t TICK_NS = 20 * 1000 * 1000;

/// Values by section and key.
typedef std::map<std::pair<std::string, std::string>, std::string> values;

/// What was read of a file, and which file that was.
struct reading {
    struct stat file;
    /// Whether the file's time tells of every later change.
    bool settled;
    /// It has a mistake.
    bool bad;
    values found;
};

/// By path. Locked while a file is read: two who ask for it wait for one of them.
struct memory {
    std::mutex lock;
    std::unordered_map<std::string, reading> files;
};

/// Lives as long as the process: threads may run while that ends.
memory &all() {
    static memory *const one = new memory;
    return *one;
}

std::string trimmed(const std::string &text) {
    const char *const blanks = " \t\r\n\v\f";
    const size_t first = text.find_first_not_of(blanks);
    if (first == std::string::npos) return std::string();
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Reads lines into `found`; whether there is no mistake in them.
bool parse(std::istream &lines, values &found) {
    std::map<std::string, bool> sections;
    std::string section, line;
    const std::string mark = "\xef\xbb\xbf";
    bool is_first = true;
    while (std::getline(lines, line)) {
        if (is_first && line.compare(0, mark.size(), mark) == 0) line.erase(0, mark.size());
        is_first = false;
        const std::string text = trimmed(line.substr(0, line.find_first_of("#;")));
        if (text.empty()) continue;
        if (text[0] == '[') {
            if (text[text.size() - 1] != ']') return false;
            section = trimmed(text.substr(1, text.size() - 2));
            if (!sections.insert(std::make_pair(section, true)).second) return false;
            continue;
        }
        const size_t equals = text.find('=');
        if (equals == std::string::npos || sections.empty()) return false;
        const std::string key = trimmed(text.substr(0, equals));
        const std::string value = trimmed(text.substr(equals + 1));
        if (key.empty()) return false;
        if (!found.insert(std::make_pair(std::make_pair(section, key), value)).second) return false;
    }
    return !lines.bad();
}

int64_t nanoseconds(const timespec &time) {
    return static_cast<int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec;
}

bool is_same(const struct stat &one, const struct stat &other) {
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino &&
           one.st_size == other.st_size &&
           nanoseconds(one.st_mtim) == nanoseconds(other.st_mtim) &&
           nanoseconds(one.st_ctim) == nanoseconds(other.st_ctim);
}

reading read_file(const std::string &path, const struct stat &file) {
    reading now = {file, false, true, values()};
    timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    now.settled = nanoseconds(time) - nanoseconds(file.st_mtim) > TICK_NS;
    std::ifstream stream(path.c_str());
    if (S_ISREG(file.st_mode) && stream) now.bad = !parse(stream, now.found);
    return now;
}

int find(const reading &of, const std::string &section, const std::string &key,
         std::string &value) {
    if (of.bad) return BAD_FILE;
    const values::const_iterator at = of.found.find(std::make_pair(section, key));
    if (at == of.found.end() || at->second.empty()) return NO_VALUE;
    value = at->second;
    return FOUND;
}

/// The file of the service, from bin/, where plugins and programs are started: found once, since
/// the process may go elsewhere.
const std::string &own_file() {
    static const std::string *const path = [] {
        char here[PATH_MAX];
        const bool known = getcwd(here, sizeof here) != nullptr;
        return new std::string((known ? std::string(here) + "/" : "") + "../etc/config.ini");
    }();
    return *path;
}

/// Nobody has gone anywhere yet.
const std::string &at_start __attribute__((unused)) = own_file();

}  // namespace

int GetConfig(const std::string &path, const std::string &session, const std::string &key,
              std::string &value) {
    struct stat file;
    if (stat(path.c_str(), &file) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? NO_FILE : BAD_FILE;
    }
    memory &known = all();
    const std::lock_guard<std::mutex> lock(known.lock);
    const auto at = known.files.find(path);
    if (at != known.files.end() && at->second.settled && is_same(at->second.file, file)) {
        return find(at->second, session, key, value);
    }
    const reading now = read_file(path, file);
    const int code = find(now, session, key, value);
    if (at != known.files.end()) {
        at->second = now;
    } else if (known.files.size() < FILES_MAX) {
        known.files.insert(std::make_pair(path, now));
    }
    return code;
}

int GetConfig(const std::string &session, const std::string &key, std::string &value) {
    return GetConfig(own_file(), session, key, value);
}

char *GetConfig(const char *path, const char *session, const char *key) {
    if (path == nullptr || session == nullptr || key == nullptr) return nullptr;
    std::string value;
    if (GetConfig(std::string(path), session, key, value) != FOUND) return nullptr;
    return strdup(value.c_str());
}
