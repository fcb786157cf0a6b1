package org.msec;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What is known about the request that a handler serves.
 *
 * <p>Valid until the handler returns; what is asked later is answered as if the request had been
 * cancelled. Usable from every thread. Calls that the handler's thread makes inherit deadline, flow
 * id and dye by themselves; for those of other threads there is {@link #run}.
 */
public final class Context {
    private static final ThreadLocal<Context> CURRENT = new ThreadLocal<>();

    final Core core;
    final long id;
    private final Methods.Method method;
    private final String caller;
    private final long deadlineNs;
    private final long flowId;
    private final int flags;
    private final int attempt;
    private final int priority;
    /** Null where they are kept natively. */
    private final byte[] metadata;

    private volatile int result;
    private volatile String[] facts;
    private Map<String, String> logOptions;

    Context(
            Core core,
            Methods.Method method,
            String caller,
            byte[] metadata,
            Poller.Record record) {
        this.core = core;
        this.method = method;
        this.caller = caller;
        this.metadata = metadata;
        this.id = record.id;
        this.deadlineNs = record.deadlineNs;
        this.flowId = record.flowId;
        this.flags = record.flags;
        this.attempt = record.attempt;
        this.priority = record.priority;
    }

    /**
     * The request that this thread serves.
     *
     * @return null if it serves none
     */
    public static Context current() {
        return CURRENT.get();
    }

    /** Makes a context the thread's; what it had before. */
    static Context enter(Context context) {
        Context before = CURRENT.get();
        CURRENT.set(context);
        return before;
    }

    /** What there was before, mostly null: removed, each request would make the entry anew. */
    static void leave(Context before) {
        CURRENT.set(before);
    }

    /**
     * Runs something as a part of serving this request: its calls inherit deadline, flow id and
     * dye, and its records in the log say whom they are about. For threads of the handler's own.
     *
     * @param work what to run
     */
    public void run(Runnable work) {
        Context before = enter(this);
        try {
            work.run();
        } finally {
            leave(before);
        }
    }

    /**
     * The full name of the method.
     *
     * @return {@code package.Service.Method}
     */
    public String method() {
        return method.name;
    }

    /**
     * The calling service as it names itself; not authenticated.
     *
     * @return may be empty; cut after 256 bytes
     */
    public String caller() {
        return caller;
    }

    /**
     * Where the request came from.
     *
     * @return {@code ip:port}, or {@code unix:}; empty once it is answered
     */
    public String peer() {
        return fact(0);
    }

    /**
     * Who the peer is by its certificate.
     *
     * @return the subject; empty unless the request came by TLS from a peer that has shown one
     */
    public String identity() {
        return fact(1);
    }

    /**
     * Where the request is in its trace: what an HTTP request of the handler's own is to carry as
     * its header {@code traceparent}; calls by a {@link Client} carry it by themselves.
     *
     * @return empty where spans are off and the caller has sent none
     */
    public String traceparent() {
        return fact(2);
    }

    private String fact(int index) {
        String[] known = facts;
        if (known == null) {
            Fields.Reader fields = new Fields.Reader(Native.facts(core.handle, id));
            known = new String[] {"", "", ""};
            for (int field = 0; field < known.length && !fields.isEmpty(); field++) {
                known[field] = fields.text();
            }
            facts = known;
        }
        return known[index];
    }

    /**
     * How long the caller still waits.
     *
     * @return milliseconds, 0 when the time is over; {@link Long#MAX_VALUE} without a limit
     */
    public long remainingMs() {
        if (deadlineNs == 0) {
            return Long.MAX_VALUE;
        }
        return Math.max(0, (deadlineNs - System.nanoTime()) / 1_000_000);
    }

    /**
     * When the caller stops waiting.
     *
     * @return in nanoseconds of {@link System#nanoTime()}; 0 for never
     */
    public long deadlineNs() {
        return deadlineNs;
    }

    /**
     * Whether nobody waits for the answer any more: the caller has cancelled, its connection has
     * died, its deadline has passed, or it was answered. Long work should look at it.
     *
     * @return whether it is in vain
     */
    public boolean isCancelled() {
        return core.isClosed() || Native.isCancelled(core.handle, id);
    }

    /**
     * The id that this request has in all services.
     *
     * @return never 0; unsigned
     */
    public long flowId() {
        return flowId;
    }

    /**
     * Whether the request is dyed: every log line and span of it is kept, at every hop.
     *
     * @return whether it is
     */
    public boolean isDyed() {
        return (flags & Layout.FLAG_DYED) != 0;
    }

    /**
     * Whether the caller waits for no answer.
     *
     * @return whether it does not
     */
    public boolean isOneWay() {
        return (flags & Layout.FLAG_ONE_WAY) != 0;
    }

    /**
     * Which try of the caller this is.
     *
     * @return 0 for the first, 1, 2, … for retries
     */
    public int attempt() {
        return attempt;
    }

    /**
     * Which request goes first when not all can be served; calls made for this one inherit it.
     *
     * @return the priority
     */
    public Priority priority() {
        return Priority.of(priority);
    }

    /**
     * The user headers, in their order; of several with one key the last.
     *
     * @return keys and values; empty, too, once the request is answered and they were long
     */
    public Map<String, byte[]> metadata() {
        Map<String, byte[]> pairs = new LinkedHashMap<>();
        byte[] bytes = metadata;
        if (bytes == null) {
            bytes = Native.facts(core.handle, id);
        }
        Fields.Reader fields = new Fields.Reader(bytes);
        if (metadata == null && !fields.isEmpty()) {
            // Peer, identity and trace are in front.
            for (int fact = 0; fact < 3; fact++) {
                fields.bytes();
            }
        }
        while (!fields.isEmpty()) {
            String key = fields.text();
            pairs.put(key, fields.bytes());
        }
        return pairs;
    }

    /**
     * The value of a user header, as text.
     *
     * @param key its key
     * @return null if there is none
     */
    public String header(String key) {
        byte[] value = metadata().get(key);
        return value == null ? null : new String(value, StandardCharsets.UTF_8);
    }

    /**
     * Sets the business return value that travels in the answer's head.
     *
     * @param value 0 unless set
     */
    public void setResult(int value) {
        result = value;
    }

    int result() {
        return result;
    }

    /** Adds a field to all further records of this request. */
    synchronized void logOption(String name, String value) {
        String key = String.valueOf(name);
        if (logOptions == null) {
            logOptions = new LinkedHashMap<>();
        }
        if (logOptions.size() < Log.OPTIONS_MAX || logOptions.containsKey(key)) {
            // A field cannot be null.
            logOptions.put(key, String.valueOf(value));
        }
    }

    synchronized void addLogOptions(Fields fields) {
        if (logOptions != null) {
            logOptions.forEach((key, value) -> fields.text(key).text(value));
        }
    }
}
