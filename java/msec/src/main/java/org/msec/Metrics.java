package org.msec;

import java.nio.charset.StandardCharsets;

/**
 * Attributes: what the business reports of itself, without registering anything. From any thread;
 * never blocks. Names are cut at 128 bytes; labels are keys and values in turn, up to 8 pairs.
 */
public final class Metrics {
    private Metrics() {}

    /**
     * Adds to a sum.
     *
     * @param name of the attribute
     * @param amount how much; less than 0 counts as 0
     * @param labels keys and values, in turn
     */
    public static void add(String name, long amount, String... labels) {
        report(Layout.METRIC_ADD, name, amount, labels);
    }

    /**
     * Sets a value, of which the last one counts.
     *
     * @param name of the attribute
     * @param value the value
     * @param labels keys and values, in turn
     */
    public static void set(String name, long value, String... labels) {
        report(Layout.METRIC_SET, name, value, labels);
    }

    /**
     * Counts a value by its size, in a histogram.
     *
     * @param name of the attribute
     * @param value the value; less than 0 counts as 0
     * @param labels keys and values, in turn
     */
    public static void record(String name, long value, String... labels) {
        report(Layout.METRIC_RECORD, name, value, labels);
    }

    /**
     * Everything that was counted since the process began, in the text form of Prometheus.
     *
     * @param engine the engine to ask
     * @return the text of the page {@code /metrics}
     * @throws MsecException -2 the engine is closed
     */
    public static String prometheus(Engine engine) {
        engine.core().requireOpen();
        return new String(Native.metrics(engine.core().handle), StandardCharsets.UTF_8);
    }

    private static void report(int kind, String name, long amount, String... labels) {
        if (labels.length % 2 != 0) {
            throw new IllegalArgumentException("a key without a value: " + labels.length);
        }
        Fields fields = new Fields().text(name);
        for (String label : labels) {
            fields.text(label);
        }
        Native.metric(kind, fields.array(), amount);
    }
}
