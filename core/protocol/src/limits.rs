//! Every bound of the engine, with its unit and its reason.
//!
//! Nothing that a peer sends may grow without a bound, and a bound that lives next to its use is
//! found by nobody. So they all live here; where two must fit together, a `const` assertion says
//! so and the build fails when somebody moves one of them.
//!
//! [`Limits`] holds those that an operator may change, at their defaults; the constants are fixed.

/// Longest head of a frame, in bytes, by default. A head carries names and a few numbers
/// (typically 60-120 bytes); user headers take most of what is left.
pub const HEAD_BYTES_MAX: usize = 64 * KIB;

/// Longest body of a frame, in bytes, by default. The original's shared-memory queue was 16 MiB,
/// so no old peer can rely on more.
pub const BODY_BYTES_MAX: usize = 16 * MIB;

/// Longest body that can be configured, in bytes. Old peers hold the length of a whole frame in
/// a signed 32-bit number.
pub const BODY_BYTES_CEILING: usize = i32::MAX as usize - HEAD_BYTES_CEILING - 10;

/// Longest head that can be configured, in bytes.
pub const HEAD_BYTES_CEILING: usize = MIB;

/// Longest datagram, in bytes: 65,535 minus the IPv4 header (20) and the UDP header (8), RFC 768.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// A frame that arrives in pieces is given at most this many times the memory that has arrived.
/// One is the least memory and the most copying; at four, a body is moved at most twice in all.
pub const ASSEMBLY_GROWTH_FACTOR: usize = 4;

/// A frame that arrives in pieces is given this many bytes at once, if it promises to be so long.
/// A 64 KiB body with its head then is never moved; whoever promises and does not send still finds
/// the bytes counted against the process's budget.
pub const ASSEMBLY_BYTES_MIN: usize = 96 * KIB;

/// Greatest sequence that we send. Old Python and PHP peers keep it in a signed 32-bit number.
pub const SEQUENCE_MAX: u64 = i32::MAX as u64;

/// Longest `err_msg` that we send, in bytes; longer texts are cut at a character.
pub const ERR_MSG_BYTES_MAX: usize = 1024;

/// Longest method name in a route, a table of methods or a metric, in bytes. Protobuf names of
/// real services stay below 100.
pub const METHOD_NAME_BYTES_MAX: usize = 256;

/// Most user headers of one message.
pub const METADATA_PAIRS_MAX: usize = 64;

/// Longest key of a user header, in bytes.
pub const METADATA_KEY_BYTES_MAX: usize = 128;

/// Longest user headers of one message together, in bytes as encoded. Services pass them on from
/// call to call, so they must stay small.
pub const METADATA_BYTES_MAX: usize = 8 * KIB;

/// Requests in flight on one connection of a server, by default: beyond it the connection is not
/// read until some are answered.
pub const REQUESTS_PER_CONNECTION_MAX: u32 = 1024;

/// Requests in flight in one process, by default: beyond it requests are answered with
/// [`OVERLOADED`](crate::Code::OVERLOADED). One parked call costs about 9 KiB.
pub const REQUESTS_PER_PROCESS_MAX: u32 = 1_000_000;

/// Calls in flight on one connection of a client. Sequences are never short (2³¹ of them); this
/// bounds the table, and beyond it a pool opens another connection or refuses.
pub const CALLS_PER_CONNECTION_MAX: u32 = 1 << 20;

/// Bytes of requests that a client's connection keeps unsent, beyond which further calls on it are
/// refused with [`OVERLOADED`](crate::Code::OVERLOADED): four of the largest bodies. The peer takes
/// them too slowly, and their deadlines are near.
pub const CLIENT_UNSENT_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// How long the caller of a request is taken to wait if it does not say, in milliseconds, by
/// default. The original forgot a request after 60 s, so no old caller waits longer.
pub const DEADLINE_MS_DEFAULT: u32 = 60_000;

/// Longest time that a caller is taken to wait, in milliseconds: one day. A request that is
/// parked must go at last even if its peer has vanished without a trace.
pub const DEADLINE_MS_MAX: u32 = 24 * 60 * 60 * 1000;

/// Calls of one connection that time out, without a single byte received meanwhile, before it is
/// replaced. One may be the service's doing; three and not a byte are the path's.
pub const TIMEOUTS_IN_SILENCE_MAX: u32 = 3;

/// A connection that should get on (a frame half received, output that is not taken, input that is
/// not read for want of room) is closed after this many milliseconds without progress, by default.
/// As long as the original remembered a request.
pub const STALL_MS_MAX: u32 = 60_000;

/// Connections of a process, before the file limit is looked at.
pub const CONNECTIONS_MAX: usize = 100_000;

/// File descriptors kept back from connections, for files, rings and the platform's own sockets.
pub const FILES_RESERVED: usize = 256;

/// One part in this many of the memory that the process may use is for bytes of frames that are
/// incomplete or wait to be sent.
pub const BUFFERED_BYTES_DIVISOR: u64 = 4;

/// Bytes of a TLS handshake that a peer may send, by default. Chains of certificates are a few KiB,
/// and large ones a few tens of them.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 128 * KIB;

/// How long a TLS handshake may take, in milliseconds, by default: a few round trips, also over a
/// bad network.
pub const TLS_HANDSHAKE_MS_MAX: u32 = 10_000;

/// Certificates of one server, of which the name that is asked for decides.
pub const TLS_CERTIFICATES_MAX: usize = 64;

/// Longest file of certificates or keys, in bytes: all CAs that browsers trust are 250 KiB.
pub const TLS_FILE_BYTES_MAX: usize = MIB;

/// Longest head of an HTTP request, in bytes: request line and headers. Browsers send a few hundred
/// bytes and their cookies; common servers stop at 8 or 16 KiB, so no client relies on more.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * KIB;

/// Most headers of an HTTP request. Browsers send about 20, and 64 become user headers at most.
pub const HTTP_HEADERS_MAX: usize = 96;

/// Longest line that begins a chunk, in bytes. Sixteen are digits; extensions are thrown away.
pub const HTTP_CHUNK_LINE_BYTES_MAX: usize = 256;

/// Longest trailers after the last chunk, in bytes. They are thrown away.
pub const HTTP_TRAILER_BYTES_MAX: usize = 4 * KIB;

/// HTTP requests in flight on one connection: beyond it the connection is not read until some are
/// answered. Their answers wait for those before them, so fewer than of SRPC.
pub const HTTP_REQUESTS_PER_CONNECTION_MAX: u32 = 128;

/// How long the head of an HTTP request may take from its first byte to its last, in milliseconds,
/// by default. A head is a packet or two; who drips it wants to occupy the connection.
pub const HTTP_HEAD_MS_MAX: u32 = 10_000;

/// How long the body of an HTTP request may take beyond what [`HTTP_BODY_BYTES_PER_S_MIN`] allows,
/// in milliseconds, by default.
pub const HTTP_BODY_MS_MAX: u32 = 20_000;

/// How slowly the body of an HTTP request may come on average, in bytes a second: below the worst
/// mobile network, above those who drip.
pub const HTTP_BODY_BYTES_PER_S_MIN: u64 = 512;

/// How long an HTTP connection without a request is kept open, in milliseconds, by default.
pub const HTTP_IDLE_MS_MAX: u32 = 75_000;

/// Bodies shorter than this many bytes are not compressed in answers: the head would grow by as
/// much as the body shrinks.
pub const COMPRESS_BYTES_MIN: usize = 256;

/// The port of a service that does not say one, as it was in the original.
pub const PORT_DEFAULT: u16 = 7963;

/// Longest path of a unix socket, in bytes: `sun_path` (unix(7)) without its NUL.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// Least and greatest weight of an instance; 100 is usual, so that one percent can be expressed.
pub const WEIGHT_MIN: u32 = 1;
/// See [`WEIGHT_MIN`].
pub const WEIGHT_MAX: u32 = 10_000;

/// Most instances of one service. Weighted round robin walks them in one pick.
pub const INSTANCES_PER_SERVICE_MAX: usize = 4096;

/// Callers of one server that have a quota each without being named; the others share one.
pub const CALLERS_WITH_QUOTA_MAX: usize = 4096;

/// Most services in one route table.
pub const SERVICES_MAX: usize = 65_536;

/// Longest `L1.L2` service name, in bytes.
pub const SERVICE_NAME_BYTES_MAX: usize = 128;

/// Longest name of an attribute, in bytes; longer ones are cut. The original took 128.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 128;

/// Longest key or value of an attribute's label, in bytes; longer ones are cut.
pub const ATTRIBUTE_TEXT_BYTES_MAX: usize = 128;

/// Most labels of an attribute; further ones are left out.
pub const ATTRIBUTE_LABELS_MAX: usize = 8;

/// Attributes with rows of their own in one table (of a core, or of a group of plain threads);
/// further combinations of labels share rows named `__other__`. About a megabyte.
pub const ATTRIBUTES_MAX: usize = 4096;

/// Callers that one core of a server tells apart in its metrics; further ones are `__other__`.
/// They name themselves, so anybody can make some up.
pub const CALLERS_MAX: usize = 256;

/// Pairs of callee and method that one core tells apart in the metrics of its calls; further ones
/// are `__other__`.
pub const CALLEES_MAX: usize = 4096;

/// Rows of a snapshot, of calls and of attributes each; further ones are merged into `__other__`.
/// Enough for a hundred processes of one service.
pub const SNAPSHOT_ROWS_MAX: usize = 65_536;

/// Longest text of a log record with its fields, in bytes; longer ones are cut. The original cut
/// at 7 KiB, for its agent took no more.
pub const LOG_RECORD_BYTES_MAX: usize = 8 * KIB;

/// Most fields of a log record, those of its request included; further ones are left out.
pub const LOG_FIELDS_MAX: usize = 32;

/// Longest key of a log field, in bytes.
pub const LOG_KEY_BYTES_MAX: usize = 64;

/// Records of a core that wait to be written to the log; more are dropped and counted.
pub const LOG_RECORDS_WAITING_MAX: usize = 4096;

/// Bytes of a core's records that wait to be written to the log; more are dropped and counted.
pub const LOG_BYTES_WAITING_MAX: usize = 4 * MIB;

/// Spans that a core remembers, whatever became of them; a power of two. A quarter of a megabyte,
/// so that they stay in a core's cache; they are there to be found when a span of the same trace
/// turns out to be worth keeping.
pub const SPANS_RECENT_MAX: usize = 4096;

/// Spans that a core keeps because they failed, were slow, dyed or sampled; the oldest go first.
pub const SPANS_KEPT_MAX: usize = 4096;

/// Spans of one reason that a core keeps in a second; more are counted only. A service that fails
/// altogether must not spend its time on keeping the proofs.
pub const SPANS_KEPT_PER_SECOND_MAX: u32 = 200;

/// Annotations of spans that a core remembers; the oldest go first.
pub const ANNOTATIONS_MAX: usize = 1024;

/// Longest annotation of a span, in bytes; longer ones are cut.
pub const ANNOTATION_BYTES_MAX: usize = 256;

/// Most dye rules in force at a time: each of them is looked at for each request.
pub const DYE_RULES_MAX: usize = 64;
/// Longest name of a zone, in bytes.
pub const ZONE_BYTES_MAX: usize = 64;

/// Most labels of an instance: they are for selecting by, not for keeping notes.
pub const LABELS_PER_INSTANCE_MAX: usize = 16;

/// Longest name or value of a label, in bytes.
pub const LABEL_BYTES_MAX: usize = 128;

/// Most attempts of one call, the first included: a second instance that fails as well is seldom
/// luck, and each attempt spends of what all calls share.
pub const ATTEMPTS_PER_CALL_MAX: usize = 3;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const _: () = {
    assert!(usize::BITS >= 64, "lengths are added without overflow checks");
    assert!(HEAD_BYTES_MAX <= HEAD_BYTES_CEILING);
    assert!(BODY_BYTES_MAX <= BODY_BYTES_CEILING);
    assert!(HEAD_BYTES_CEILING + BODY_BYTES_CEILING + 10 <= i32::MAX as usize);
    // What we write ourselves fits into a head with room for names, token and trace.
    assert!(
        METADATA_BYTES_MAX + ERR_MSG_BYTES_MAX + 2 * METHOD_NAME_BYTES_MAX < HEAD_BYTES_MAX / 2
    );
    assert!(METADATA_KEY_BYTES_MAX < METADATA_BYTES_MAX);
    assert!(METADATA_PAIRS_MAX < METADATA_BYTES_MAX);
    assert!(ASSEMBLY_GROWTH_FACTOR >= 1);
    // A free sequence is found at once even in a full table.
    assert!((CALLS_PER_CONNECTION_MAX as u64) < SEQUENCE_MAX / 1024);
    assert!(REQUESTS_PER_CONNECTION_MAX < REQUESTS_PER_PROCESS_MAX);
    assert!(0 < DEADLINE_MS_DEFAULT && DEADLINE_MS_DEFAULT <= DEADLINE_MS_MAX);
    assert!(DATAGRAM_BYTES_MAX < BODY_BYTES_MAX);
    assert!(HTTP_HEADERS_MAX > METADATA_PAIRS_MAX);
    assert!(HTTP_REQUESTS_PER_CONNECTION_MAX <= REQUESTS_PER_CONNECTION_MAX);
    assert!(0 < WEIGHT_MIN && WEIGHT_MIN < WEIGHT_MAX);
    assert!(SPANS_RECENT_MAX.is_power_of_two());
    assert!(LOG_KEY_BYTES_MAX * LOG_FIELDS_MAX < LOG_RECORD_BYTES_MAX);
    assert!(LOG_RECORD_BYTES_MAX < LOG_BYTES_WAITING_MAX);
    assert!(2 * ATTRIBUTES_MAX < SNAPSHOT_ROWS_MAX);
    // Sums of weights fit into an i64 with much room: weighted round robin subtracts them.
    assert!((WEIGHT_MAX as u64) * (INSTANCES_PER_SERVICE_MAX as u64) < i32::MAX as u64);
};

/// The bounds that an operator may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head, in bytes; 1 to [`HEAD_BYTES_CEILING`], default [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// Longest body, in bytes; up to [`BODY_BYTES_CEILING`], default [`BODY_BYTES_MAX`].
    pub body_bytes_max: usize,
    /// Requests in flight on one connection; default [`REQUESTS_PER_CONNECTION_MAX`].
    pub requests_per_connection_max: u32,
    /// Requests in flight of one method in one process; default: as many as the process may have.
    pub requests_per_method_max: u32,
    /// Requests in flight in one process; default [`REQUESTS_PER_PROCESS_MAX`].
    pub requests_per_process_max: u32,
    /// How long a caller waits that does not say, in milliseconds; 1 to [`DEADLINE_MS_MAX`],
    /// default [`DEADLINE_MS_DEFAULT`].
    pub deadline_ms_default: u32,
    /// How long a connection may make no progress while it should, in milliseconds; 4 or more,
    /// default [`STALL_MS_MAX`].
    pub stall_ms_max: u32,
    /// How long the head of an HTTP request may take, in milliseconds; 1 or more, default
    /// [`HTTP_HEAD_MS_MAX`].
    pub http_head_ms_max: u32,
    /// How long the body of an HTTP request may take beyond what [`HTTP_BODY_BYTES_PER_S_MIN`] and
    /// `http_head_ms_max` allow, in milliseconds; default [`HTTP_BODY_MS_MAX`].
    pub http_body_ms_max: u32,
    /// How long an HTTP connection may be idle, in milliseconds; 1 or more, default
    /// [`HTTP_IDLE_MS_MAX`].
    pub http_idle_ms_max: u32,
    /// Bytes of a TLS handshake that a peer may send; default [`TLS_HANDSHAKE_BYTES_MAX`].
    pub tls_handshake_bytes_max: usize,
    /// How long a TLS handshake may take, in milliseconds; 1 or more, default
    /// [`TLS_HANDSHAKE_MS_MAX`].
    pub tls_handshake_ms_max: u32,
}

impl Limits {
    /// The defaults, usable in a constant.
    pub const DEFAULT: Limits = Limits {
        head_bytes_max: HEAD_BYTES_MAX,
        body_bytes_max: BODY_BYTES_MAX,
        requests_per_connection_max: REQUESTS_PER_CONNECTION_MAX,
        requests_per_method_max: REQUESTS_PER_PROCESS_MAX,
        requests_per_process_max: REQUESTS_PER_PROCESS_MAX,
        deadline_ms_default: DEADLINE_MS_DEFAULT,
        stall_ms_max: STALL_MS_MAX,
        http_head_ms_max: HTTP_HEAD_MS_MAX,
        http_body_ms_max: HTTP_BODY_MS_MAX,
        http_idle_ms_max: HTTP_IDLE_MS_MAX,
        tls_handshake_bytes_max: TLS_HANDSHAKE_BYTES_MAX,
        tls_handshake_ms_max: TLS_HANDSHAKE_MS_MAX,
    };

    /// The nearest limits that the wire can carry: what is over a ceiling is lowered to it.
    pub fn clamped(mut self) -> Limits {
        self.head_bytes_max = self.head_bytes_max.clamp(1, HEAD_BYTES_CEILING);
        self.body_bytes_max = self.body_bytes_max.min(BODY_BYTES_CEILING);
        self.deadline_ms_default = self.deadline_ms_default.clamp(1, DEADLINE_MS_MAX);
        // It is looked at four times in that time, by a timer of milliseconds.
        self.stall_ms_max = self.stall_ms_max.max(4);
        self.http_head_ms_max = self.http_head_ms_max.max(1);
        self.http_idle_ms_max = self.http_idle_ms_max.max(1);
        self.tls_handshake_ms_max = self.tls_handshake_ms_max.max(1);
        self
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_over_a_ceiling_are_lowered_to_it() {
        let wild = Limits {
            head_bytes_max: 0,
            body_bytes_max: usize::MAX,
            deadline_ms_default: 0,
            stall_ms_max: 0,
            ..Limits::DEFAULT
        };
        assert_eq!(wild.clamped().deadline_ms_default, 1);
        assert_eq!(wild.clamped().stall_ms_max, 4);
        assert_eq!(wild.clamped().head_bytes_max, 1);
        assert_eq!(wild.clamped().body_bytes_max, BODY_BYTES_CEILING);
        assert_eq!(Limits::default().clamped(), Limits::DEFAULT);
    }
}
