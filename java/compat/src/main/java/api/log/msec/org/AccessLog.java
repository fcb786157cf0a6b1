package api.log.msec.org;

import java.util.LinkedHashMap;
import java.util.Map;
import org.msec.Log;
import org.msec.Log.Level;
import org.msec.rpc.RpcContext;
import org.msec.rpc.ServiceFactory;

/**
 * The log. Within a request its records say by themselves whom they are about. A record is kept if
 * its level is that of {@code [LOG] Level} or above, if its request is colored, or if one of its
 * options is a pair of {@code [COLOR]}; then what its request calls from there on is colored, too.
 */
public final class AccessLog {
    /** What one wants to know while writing the program. */
    public static final int LOG_LEVEL_TRACE = 0;

    /** What one wants to know while looking for a mistake. */
    public static final int LOG_LEVEL_DEBUG = 1;

    /** What happened. */
    public static final int LOG_LEVEL_INFO = 2;

    /** What somebody has to look at. */
    public static final int LOG_LEVEL_ERROR = 3;

    /** What the program cannot go on after. */
    public static final int LOG_LEVEL_FATAL = 4;

    private static final Level[] LEVELS = {
        Level.TRACE, Level.DEBUG, Level.INFO, Level.ERROR, Level.FATAL,
    };

    private static final StackWalker WALKER = StackWalker.getInstance();

    /** For sources that make one; all its methods are static. */
    public AccessLog() {}

    /**
     * Writes a record.
     *
     * @param level one of the levels
     * @param body what happened
     * @return 0
     */
    public static int doLog(int level, String body) {
        return doLog(level, Map.of(), body);
    }

    /**
     * Writes a record with options.
     *
     * @param level one of the levels
     * @param headers fields of this record
     * @param body what happened
     * @return 0
     */
    public static int doLog(int level, Map<String, String> headers, String body) {
        Level named = LEVELS[Math.max(0, Math.min(level, LEVELS.length - 1))];
        Map<String, String> options = new LinkedHashMap<>();
        RpcContext request = RpcContext.getCurrent();
        if (request != null) {
            synchronized (request.getLogOptions()) {
                options.putAll(request.getLogOptions());
            }
        }
        options.putAll(headers);
        boolean colored = ServiceFactory.isColored(options);
        if (colored && request != null) {
            request.color();
        }
        if (colored || Log.isOn(named)) {
            write(named, options, body);
        }
        return 0;
    }

    private static void write(Level level, Map<String, String> options, String body) {
        StackWalker.StackFrame place =
                WALKER.walk(
                        frames ->
                                frames.filter(frame -> !frame.getClassName().equals(NAME))
                                        .findFirst()
                                        .orElse(null));
        String source = "java";
        if (place != null) {
            source = place.getFileName() + ":" + place.getLineNumber();
            options.putIfAbsent("Function", place.getClassName() + ":" + place.getMethodName());
        }
        Object[] fields = new Object[2 * options.size()];
        int next = 0;
        for (Map.Entry<String, String> option : options.entrySet()) {
            fields[next++] = option.getKey();
            fields[next++] = option.getValue();
        }
        Log.write(level, source, body, fields);
    }

    private static final String NAME = AccessLog.class.getName();
}
