/* A plugin in plain C. It tells whoever calls it what its host has told it, and the log when it
 * begins and ends. */

#include <stdio.h>
#include <string.h>

#include "msec.h"

#ifndef NAME
#define NAME NULL
#endif

static const msec_host *host;
static int begun;

static int32_t knows(void *userdata, msec_context *context) {
    char text[200];
    const char *colour = msec_host_config(host, "PLAIN", "colour");
    snprintf(text, sizeof text, "%s of %s, conf %s, worker %u%s", colour, msec_host_service(host),
             msec_host_conf(host), (unsigned)msec_host_worker(host), (const char *)userdata);
    return msec_context_answer(context, text, strlen(text));
}

/* Calls the address in its body, with an engine that is the host's. */
static int32_t asks(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context), answer;
    msec_client *client;
    msec_reply *reply;
    char address[100];
    int32_t code;
    (void)userdata;
    snprintf(address, sizeof address, "%.*s", (int)body.size, body.data);
    code = msec_client_new(msec_host_engine(host), address, &client);
    if (code != MSEC_OK) return code;
    code = msec_client_call(client, "plain.Plain.Knows", NULL, 0, NULL, &reply);
    if (code == MSEC_OK) {
        answer = msec_reply_body(reply);
        code = msec_context_answer(context, answer.data, answer.size);
        msec_reply_free(reply);
    }
    msec_client_free(client);
    return code;
}

static int32_t init(const msec_host *told, msec_server_builder *builder) {
    static char mark[] = "!";
    static const char why[] = "no colour";
    int32_t code;
    host = told;
    if (msec_host_config(host, "PLAIN", "colour") == NULL) {
        msec_host_fail_text(host, why, strlen(why));
        return MSEC_EINVALID_PARAMETER;
    }
    code = msec_server_builder_method(builder, "plain.Plain.Knows", knows, mark, NULL);
    if (code != MSEC_OK) return code;
    fprintf(stderr, "plain begins\n");
    return msec_server_builder_method(builder, "plain.Plain.Asks", asks, NULL, NULL);
}

/* Not at once. */
static int32_t ready(void) {
    return ++begun < 3;
}

static void fini(void) {
    fprintf(stderr, "plain ends, and was asked %d times\n", begun);
}

extern const msec_plugin *msec_plugin_v1(void);

const msec_plugin *msec_plugin_v1(void) {
    /* As headers before and after this one have it, too. */
    static struct {
        msec_plugin plugin;
        uint64_t later;
    } told = {MSEC_PLUGIN_INIT, 0};
    told.plugin.name = NAME;
    told.plugin.build_id = "plain 1";
    told.plugin.init = init;
    told.plugin.ready = ready;
    told.plugin.fini = fini;
#ifdef OLDER
    told.plugin.size = (uint32_t)offsetof(msec_plugin, barrier);
    told.plugin.barrier = (msec_barrier)(uintptr_t)7; /* What lies behind it there. */
#endif
#ifdef NEWER
    told.plugin.size = sizeof told;
    told.later = NEWER;
#endif
    return &told.plugin;
}
