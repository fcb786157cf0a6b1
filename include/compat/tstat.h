// Counters and histograms of the server: attributes of the engine, on /metrics.

#ifndef MSEC_COMPAT_TSTAT_H
#define MSEC_COMPAT_TSTAT_H

namespace spp {
namespace comm {

/// What becomes of the values of a counter.
enum { STAT_TYPE_SUM = 1, STAT_TYPE_SET = 2 };

/// Counters by name: `stat.<name>` on /metrics.
class CTStat {
public:
    /// Begins a counter at 0. 0; -1 without a name, or for a type that is none.
    int init_statobj(const char *name, int type, const char *desc = "");
    /// Adds to a counter, or sets it. 0; -1 without a name.
    int step0(const char *name, long value, int type = STAT_TYPE_SUM);
};

/// Says what a command is called: 0 to 99. 0; -1 it is none.
int init_stat_item(int cmd, const char *desc);

/// Counts that a command took `cost_ms` and ended with `code`, 0 to 29: the histogram
/// `stat.cost_ms` by the labels command, code and description. 0; -1 one of them is out of range.
int step_stat_item(int cmd, int code, long cost_ms, const char *desc);

}  // namespace comm
}  // namespace spp

#define INIT_STAT_ITEM(cmd, desc) ::spp::comm::init_stat_item(cmd, desc)
#define STEP_STAT_ITEM(cmd, code, cost_ms, desc) \
    ::spp::comm::step_stat_item(cmd, code, cost_ms, desc)

#endif
