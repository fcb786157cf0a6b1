// Written by `cargo xtask gen`; not edited by hand.

package org.msec;

/** What a round of the poller looks like; ffi-java/src/batch.rs tells it. */
final class Layout {
    static final String VERSION = "0.1.0";

    static final int KIND_REQUEST = 1;
    static final int KIND_RESULT = 2;
    static final int FLAG_DYED = 1;
    static final int FLAG_ONE_WAY = 2;
    static final int FLAG_METADATA_KEPT = 4;
    static final int INLINE_BYTES_MAX = 8192;
    static final int BUFFER_BYTES = 262144;
    static final int RECORD_BYTES_MAX = 8320;
    static final int METRIC_ADD = 1;
    static final int METRIC_SET = 2;
    static final int METRIC_RECORD = 3;
    static final int CALL_ONE_WAY = 1;
    static final int CALL_DYED = 2;
    static final int CALL_IDEMPOTENT = 4;
    static final int CALL_HEDGE_AT_P95 = 8;
    static final int CALL_LZ4 = 16;
    static final int CALL_ZSTD = 32;
    static final int RAW_UNTIL = 1;
    static final int RAW_FIXED = 2;
    static final int RAW_LENGTH = 3;
    static final int ROUTE_LOAD = 1;
    static final int ROUTE_SET = 2;
    static final int ROUTE_PUSH = 3;
    static final int ROUTE_CONFIRM = 4;
    static final int ROUTE_EXPLAIN = 5;
    static final int ROUTE_PICK = 6;
    static final int ROUTE_REPORT = 7;

    static final int ANSWERED_BYTES = 24;
    static final int ANSWERED_SIZE_AT = 0;
    static final int ANSWERED_CODE_AT = 4;
    static final int ANSWERED_ID_AT = 8;
    static final int ANSWERED_RESULT_AT = 16;
    static final int ANSWERED_BODY_BYTES_AT = 20;

    static final int RECORD_BYTES = 80;
    static final int RECORD_SIZE_AT = 0;
    static final int RECORD_KIND_AT = 4;
    static final int RECORD_ID_AT = 8;
    static final int RECORD_KEPT_AT = 16;
    static final int RECORD_DEADLINE_NS_AT = 24;
    static final int RECORD_FLOW_ID_AT = 32;
    static final int RECORD_METHOD_AT = 40;
    static final int RECORD_FLAGS_AT = 44;
    static final int RECORD_CODE_AT = 48;
    static final int RECORD_RESULT_AT = 52;
    static final int RECORD_ATTEMPT_AT = 56;
    static final int RECORD_PRIORITY_AT = 60;
    static final int RECORD_CALLER_BYTES_AT = 64;
    static final int RECORD_METADATA_BYTES_AT = 68;
    static final int RECORD_BODY_BYTES_AT = 72;

    private Layout() {}
}
