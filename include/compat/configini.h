/*
 * Values of .ini files.
 *
 * A file is read when it is first asked for, and again when it has changed. A call looks at the
 * file's time, and does not wait for anything but the disk.
 *
 * `#` and `;` begin a comment anywhere in a line; names are case-sensitive; blanks around names and
 * values do not count; a section or a key that is there twice is an error. A byte order mark is
 * skipped; values are the bytes of the file, in whatever encoding.
 */

#ifndef MSEC_COMPAT_CONFIGINI_H
#define MSEC_COMPAT_CONFIGINI_H

#ifdef __cplusplus
#include <string>

/* Of the service's own ../etc/config.ini, seen from where the process was started. 0; -1 there is
 * no such file; -2 it has no such value, or an empty one; -3 it cannot be read, or has a mistake.
 * `value` is written on success only. */
int GetConfig(const std::string &session, const std::string &key, std::string &value);

/* As above, of another file. */
int GetConfig(const std::string &path, const std::string &session, const std::string &key,
              std::string &value);

extern "C" {
#endif

/* The value, to be given to free(); NULL if there is none. */
char *GetConfig(const char *path, const char *session, const char *key);

#ifdef __cplusplus
}
#endif

#endif
