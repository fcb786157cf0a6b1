#if defined(__cplusplus) && defined(__cpp_exceptions)
#include <cstring>
#include <exception>

/**
 * The barrier of a plugin in C++ (`msec_plugin`): an exception that leaves a handler is caught
 * here, by the plugin's own runtime of C++. The caller gets MSEC_ESERVICE_FAILED with what(), and
 * the log a record.
 */
static inline int32_t msec_plugin_catch(msec_handler handler, void *userdata,
                                        msec_context *context) {
    const char text[] = "a handler threw an exception";
    msec_field field = {"what", "an exception that is no std::exception"};
    const auto told = [&] {
        msec_context_fail_text(context, field.value, std::strlen(field.value));
        msec_log(MSEC_LOG_ERROR, "msec.h", text, sizeof text - 1, &field, 1);
    };
    try {
        return handler(userdata, context);
    } catch (const std::exception &thrown) {
        field.value = thrown.what();
        told();
    } catch (...) {
        told();
    }
    return MSEC_ESERVICE_FAILED;
}
#define MSEC_BARRIER msec_plugin_catch
#else
#define MSEC_BARRIER NULL
#endif

