#if defined(__cplusplus) && defined(__cpp_exceptions)
#include <cstring>
#include <exception>

/**
 * The barrier of a plugin in C++ (`msec_plugin`): an exception that leaves a handler is caught here,
 * by the plugin's own runtime of C++, and its caller gets MSEC_ESERVICE_FAILED with what().
 */
static inline int32_t msec_plugin_catch(msec_handler handler, void *userdata,
                                        msec_context *context) {
    const char *what = "an exception that is no std::exception";
    try {
        return handler(userdata, context);
    } catch (const std::exception &thrown) {
        msec_context_fail_text(context, thrown.what(), std::strlen(thrown.what()));
    } catch (...) {
        msec_context_fail_text(context, what, std::strlen(what));
    }
    return MSEC_ESERVICE_FAILED;
}
#define MSEC_BARRIER msec_plugin_catch
#else
#define MSEC_BARRIER NULL
#endif

