package api.monitor.msec.org;

import org.msec.Metrics;

/**
 * Attributes that the business reports. Their names begin with {@code usr.}, which is added where
 * they begin with neither that nor {@code frm.}, and are cut at 128 bytes. Never blocks.
 */
public final class AccessMonitor {
    /** For sources that make one; all its methods are static. */
    public AccessMonitor() {}

    /**
     * Adds one to a sum.
     *
     * @param attribute its name
     * @return 0
     */
    public static int add(String attribute) {
        return add(attribute, 1);
    }

    /**
     * Adds to a sum.
     *
     * @param attribute its name
     * @param value how much; less than 0 counts as 0
     * @return 0
     */
    public static int add(String attribute, long value) {
        Metrics.add(full(attribute), value);
        return 0;
    }

    /**
     * Sets a value, of which the last one counts.
     *
     * @param attribute its name
     * @param value the value
     * @return 0
     */
    public static int set(String attribute, long value) {
        Metrics.set(full(attribute), value);
        return 0;
    }

    private static String full(String attribute) {
        boolean is = attribute.startsWith("frm.") || attribute.startsWith("usr.");
        return is ? attribute : "usr." + attribute;
    }
}
