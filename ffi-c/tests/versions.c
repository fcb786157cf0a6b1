/* Structs of options as programs have them that were compiled with an older or a newer header: what
 * is shorter is understood, what is longer too, as long as it sets nothing that is unknown here. */

#include <string.h>

#include "check.h"

static msec_engine *engine;
static msec_client *client;
static const char *ECHO = "echo.EchoService.Echo";

static int32_t nothing(void *userdata, msec_context *context) {
    (void)userdata;
    (void)context;
    return MSEC_OK;
}

/* A struct of options with bytes behind it, as a newer header would have. */
#define LARGER(type, init)                                                                        \
    struct {                                                                                      \
        type options;                                                                             \
        uint64_t later;                                                                           \
    } larger = {init, 0};                                                                         \
    larger.options.size = sizeof larger

static int32_t start_with(const msec_engine_options *options) {
    msec_engine *other = NULL;
    int32_t code = msec_engine_new(options, &other);
    CHECK((code == MSEC_OK) == (other != NULL));
    msec_engine_free(other);
    return code;
}

static int32_t describe_with(const msec_method_options *options) {
    msec_server_builder *builder = msec_server_builder_new();
    int32_t code = msec_server_builder_method(builder, ECHO, nothing, NULL, options);
    msec_server_builder_free(builder);
    return code;
}

static int32_t secure_with(const msec_server_tls_options *tls) {
    msec_server_builder *builder = msec_server_builder_new();
    int32_t code = msec_server_builder_tls(builder, tls);
    msec_server_builder_free(builder);
    return code;
}

/* Nobody listens there: what is understood is tried, and fails. */
static int32_t call_with(const msec_call_options *options) {
    return msec_client_call(client, ECHO, "", 0, options, NULL);
}

static void of_a_call(void) {
    LARGER(msec_call_options, MSEC_CALL_OPTIONS_INIT);
    larger.options.timeout_ms = 20000; /* It is refused at once, but not by everybody's clock. */
    CHECK(call_with(&larger.options) == MSEC_ENETWORK);
    larger.later = 1;
    CHECK(call_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    larger.options.size = 8; /* The first two fields: what follows is not looked at. */
    larger.options.flags = 0xffff;
    CHECK(call_with(&larger.options) == MSEC_ENETWORK);
    larger.options.size = 0;
    CHECK(call_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    larger.options.size = 1 << 20;
    CHECK(call_with(&larger.options) == MSEC_EINVALID_PARAMETER);
}

static void of_an_engine(void) {
    LARGER(msec_engine_options, MSEC_ENGINE_OPTIONS_INIT);
    larger.options.cores = 1;
    CHECK(start_with(&larger.options) == MSEC_OK);
    larger.later = 1;
    CHECK(start_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    CHECK(strstr(msec_error_text(), "msec_engine_options uses fields of a newer libmsec") != NULL);
    larger.options.size = (uint32_t)offsetof(msec_engine_options, tls);
    larger.options.tls = (const msec_client_tls_options *)ECHO;
    CHECK(start_with(&larger.options) == MSEC_OK);
    larger.options.abi_version = MSEC_ABI_VERSION + 1;
    CHECK(start_with(&larger.options) == MSEC_EINVALID_PARAMETER);
}

static void of_a_method(void) {
    LARGER(msec_method_options, MSEC_METHOD_OPTIONS_INIT);
    CHECK(describe_with(&larger.options) == MSEC_OK);
    larger.later = 1;
    CHECK(describe_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    larger.options.size = 4;
    larger.options.flags = 0xffff;
    CHECK(describe_with(&larger.options) == MSEC_OK);
    larger.options.size = 8;
    CHECK(describe_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    CHECK(strstr(msec_error_text(), "flags of a newer libmsec") != NULL);
}

static void of_tls(void) {
    msec_certificate certificate = {"server.pem", "server.key"};
    msec_client_tls_options tls = MSEC_CLIENT_TLS_OPTIONS_INIT;
    msec_engine_options engine_options = MSEC_ENGINE_OPTIONS_INIT;
    LARGER(msec_server_tls_options, MSEC_SERVER_TLS_OPTIONS_INIT);
    larger.options.certificates = &certificate;
    larger.options.certificates_count = 1;
    CHECK(secure_with(&larger.options) == MSEC_OK);
    larger.later = 1;
    CHECK(secure_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    larger.options.size = (uint32_t)offsetof(msec_server_tls_options, client_ca);
    larger.options.client_ca = (const char *)&larger;
    CHECK(secure_with(&larger.options) == MSEC_OK);
    larger.options.flags = 4;
    CHECK(secure_with(&larger.options) == MSEC_EINVALID_PARAMETER);
    engine_options.tls = &tls;
    tls.size = 8; /* Without the file that it needs. */
    CHECK(start_with(&engine_options) == MSEC_EINVALID_PARAMETER);
}

int main(void) {
    msec_engine_options options = MSEC_ENGINE_OPTIONS_INIT;
    options.cores = 1;
    CHECK(msec_engine_new(&options, &engine) == MSEC_OK);
    CHECK(msec_client_new(engine, "127.0.0.1:1", &client) == MSEC_OK);
    of_a_call();
    of_an_engine();
    of_a_method();
    of_tls();
    msec_client_free(client);
    msec_engine_free(engine);
    puts("everything works");
    return 0;
}
