/* A plugin that calls others by libraries which know nothing of coroutines: libmariadb, hiredis,
 * libcurl. As its service has one core, and a coroutine goes on only where it waits, the lists of
 * idle handles need no lock; a handle that is in use is in no list. */

#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <mariadb/mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msec.h"

#define IDLE_MAX 256

static const msec_host *host;
static MYSQL *idle_sql[IDLE_MAX];
static redisContext *idle_redis[IDLE_MAX];
static size_t idle_sql_count, idle_redis_count;

static int32_t fail(msec_context *context, const char *text) {
    msec_context_fail_text(context, text, strlen(text));
    return MSEC_ESERVICE_FAILED;
}

/* The body as a string, in a buffer of the caller's. */
static char *body_of(msec_context *context, char *text, size_t room) {
    msec_slice body = msec_context_body(context);
    snprintf(text, room, "%.*s", (int)body.size, body.data);
    return text;
}

static int32_t echo(void *userdata, msec_context *context) {
    msec_slice body = msec_context_body(context);
    (void)userdata;
    return msec_context_answer(context, body.data, body.size);
}

/* NULL with the text of the failure in `why`. */
static MYSQL *sql_new(char *why, size_t room) {
    MYSQL *sql = mysql_init(NULL);
    unsigned port = (unsigned)atoi(msec_host_config(host, "HOOK", "sql"));
    if (mysql_real_connect(sql, "127.0.0.1", "root", "", NULL, port, NULL, 0)) return sql;
    snprintf(why, room, "%s", mysql_error(sql));
    mysql_close(sql);
    return NULL;
}

/* Connects as often as the body says, one after the other. */
static int32_t sql_warm(void *userdata, msec_context *context) {
    char text[200];
    int count = atoi(body_of(context, text, sizeof text));
    (void)userdata;
    while (count-- > 0 && idle_sql_count < IDLE_MAX) {
        MYSQL *sql = sql_new(text, sizeof text);
        if (!sql) return fail(context, text);
        idle_sql[idle_sql_count++] = sql;
    }
    return 0;
}

/* Answers with the first value of the query in the body. */
static int32_t sql_ask(void *userdata, msec_context *context) {
    char text[200], query[200];
    MYSQL *sql = idle_sql_count > 0 ? idle_sql[--idle_sql_count] : sql_new(text, sizeof text);
    MYSQL_RES *result;
    MYSQL_ROW row;
    int32_t code;
    (void)userdata;
    if (!sql) return fail(context, text);
    body_of(context, query, sizeof query);
    if (mysql_query(sql, query) || !(result = mysql_store_result(sql))) {
        code = fail(context, mysql_error(sql));
        /* What of the answer is still to come, nobody knows. */
        mysql_close(sql);
        return code;
    }
    row = mysql_fetch_row(result);
    code = msec_context_answer(context, row ? row[0] : "", row ? strlen(row[0]) : 0);
    mysql_free_result(result);
    if (idle_sql_count < IDLE_MAX) idle_sql[idle_sql_count++] = sql;
    else mysql_close(sql);
    return code;
}

/* Answers with what Redis says to the command in the body. */
static int32_t redis_ask(void *userdata, msec_context *context) {
    char text[200];
    int port = atoi(msec_host_config(host, "HOOK", "redis"));
    redisContext *redis =
        idle_redis_count > 0 ? idle_redis[--idle_redis_count] : redisConnect("127.0.0.1", port);
    redisReply *reply;
    int32_t code;
    (void)userdata;
    if (!redis || redis->err) return fail(context, redis ? redis->errstr : "no memory");
    reply = redisCommand(redis, body_of(context, text, sizeof text));
    if (!reply) {
        code = fail(context, redis->errstr);
        redisFree(redis);
        return code;
    }
    code = reply->str ? msec_context_answer(context, reply->str, reply->len)
                      : msec_context_answer(context, "nil", 3);
    freeReplyObject(reply);
    if (idle_redis_count < IDLE_MAX) idle_redis[idle_redis_count++] = redis;
    else redisFree(redis);
    return code;
}

static size_t gather(char *data, size_t size, size_t count, void *context) {
    return msec_context_answer(context, data, size * count) == MSEC_OK ? size * count : 0;
}

/* Answers with what is at the address in the body. */
static int32_t web_get(void *userdata, msec_context *context) {
    char address[200];
    CURL *curl = curl_easy_init();
    struct curl_slist *headers =
        curl_slist_append(NULL, "content-type: application/octet-stream");
    CURLcode code;
    (void)userdata;
    curl_easy_setopt(curl, CURLOPT_URL, body_of(context, address, sizeof address));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, context);
    code = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return code == CURLE_OK ? 0 : fail(context, curl_easy_strerror(code));
}

static int32_t init(const msec_host *told, msec_server_builder *builder) {
    static const struct {
        const char *name;
        msec_handler handler;
    } methods[] = {
        {"echo.EchoService.Echo", echo},   {"hook.Sql.Warm", sql_warm},
        {"hook.Sql.Ask", sql_ask},         {"hook.Redis.Ask", redis_ask},
        {"hook.Web.Get", web_get},
    };
    size_t index;
    host = told;
    if (mysql_library_init(0, NULL, NULL) || curl_global_init(CURL_GLOBAL_ALL)) return -1;
    for (index = 0; index < sizeof methods / sizeof *methods; index++) {
        int32_t code = msec_server_builder_method(builder, methods[index].name,
                                                  methods[index].handler, NULL, NULL);
        if (code != MSEC_OK) return code;
    }
    return 0;
}

extern const msec_plugin *msec_plugin_v1(void);

const msec_plugin *msec_plugin_v1(void) {
    static msec_plugin told = MSEC_PLUGIN_INIT;
    told.init = init;
    return &told;
}
