// A program of old that asks a database by its own client, at the instance that is picked for it.

#include <arpa/inet.h>
#include <mysql.h>
#include <stdio.h>

#include "mt_api.h"
#include "nlbapi.h"

using namespace NS_MICRO_THREAD;

static int Ask(const char *host, unsigned port, const char *statement) {
    MYSQL *mysql = mysql_init(NULL);
    int failed = 1;
    if (mysql_real_connect(mysql, host, "root", "", NULL, port, NULL, 0) != NULL &&
        mysql_query(mysql, statement) == 0) {
        MYSQL_RES *result = mysql_store_result(mysql);
        MYSQL_ROW row = mysql_fetch_row(result);
        printf("%s\n", row[0]);
        mysql_free_result(result);
        failed = 0;
    } else {
        printf("failed: %s\n", mysql_error(mysql));
    }
    mysql_close(mysql);
    return failed;
}

int main() {
    if (!mt_init_frame()) return 1;
    struct routeid route;
    const int32_t code = getroutebyname("Demo.db", &route);
    if (code != 0) return 2;
    struct in_addr address;
    address.s_addr = route.ip;
    const unsigned long long begin = mt_time_ms();
    const int failed = Ask(inet_ntoa(address), route.port, "SELECT 6 * 7");
    return updateroute("Demo.db", route.ip, failed, (int32_t)(mt_time_ms() - begin));
}
