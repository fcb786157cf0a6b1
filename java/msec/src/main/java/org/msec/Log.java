package org.msec;

import java.time.Duration;

/**
 * The log: records with the request that they are about. Within a handler a record has its
 * request's fields by itself, so that one search for a {@code ReqID} shows a request's whole way
 * through all services. Never blocks: what has no room is dropped and counted.
 *
 * <pre>{@code
 * Log.info("order placed", "order", order, "pieces", 3);
 * }</pre>
 */
public final class Log {
    static final int OPTIONS_MAX = 16;

    /** Causes of an error that the log tells, and frames of each. */
    private static final int CAUSES_MAX = 4;

    private static final int FRAMES_MAX = 12;

    /** How much a record matters. */
    public enum Level {
        /** What one wants to know while writing the program. */
        TRACE,
        /** What one wants to know while looking for a mistake. */
        DEBUG,
        /** What happened. */
        INFO,
        /** What should not have happened, and was coped with. */
        WARN,
        /** What should not have happened, and somebody has to look at. */
        ERROR,
        /** What the program cannot go on after. */
        FATAL
    }

    private static final StackWalker WALKER = StackWalker.getInstance();

    private Log() {}

    /**
     * Whether records of that level would be kept here: by the level, or because the request is
     * dyed.
     *
     * @param level the level
     * @return whether they would
     */
    public static boolean isOn(Level level) {
        Context context = Context.current();
        return Native.logIsOn(level.ordinal()) || (context != null && context.isDyed());
    }

    /**
     * Logs a detail for whoever looks for it.
     *
     * @param text what happened
     * @param fields keys and values, in turn
     */
    public static void debug(String text, Object... fields) {
        at(Level.DEBUG, text, fields);
    }

    /**
     * Logs what happens in the ordinary course.
     *
     * @param text what happened
     * @param fields keys and values, in turn
     */
    public static void info(String text, Object... fields) {
        at(Level.INFO, text, fields);
    }

    /**
     * Logs something that an operator may want to act on.
     *
     * @param text what happened
     * @param fields keys and values, in turn
     */
    public static void warn(String text, Object... fields) {
        at(Level.WARN, text, fields);
    }

    /**
     * Logs that something failed that should not.
     *
     * @param text what happened
     * @param fields keys and values, in turn
     */
    public static void error(String text, Object... fields) {
        at(Level.ERROR, text, fields);
    }

    /**
     * Logs at a level, with the caller's place in the program.
     *
     * @param level the level
     * @param text what happened
     * @param fields keys and values, in turn
     */
    public static void at(Level level, String text, Object... fields) {
        if (isOn(level)) {
            write(level, source(), text, fields);
        }
    }

    private static String source() {
        return WALKER.walk(
                frames ->
                        frames.filter(frame -> !frame.getClassName().equals(Log.class.getName()))
                                .findFirst()
                                .map(frame -> frame.getFileName() + ":" + frame.getLineNumber())
                                .orElse("java"));
    }

    /**
     * Logs a record, whatever its level: for bindings of other interfaces of logging, which ask
     * {@link #isOn} before.
     *
     * @param level the level
     * @param source the place in the program
     * @param text what happened
     * @param fields keys and values, in turn
     * @throws IllegalArgumentException a key without a value
     */
    public static void write(Level level, String source, String text, Object... fields) {
        if (fields.length % 2 != 0) {
            throw new IllegalArgumentException("a key without a value: " + fields.length);
        }
        Context context = Context.current();
        Fields bytes = new Fields().text(source).text(text);
        for (int index = 0; index < fields.length; index += 2) {
            bytes.text(String.valueOf(fields[index])).text(String.valueOf(fields[index + 1]));
        }
        long engine = 0;
        long request = 0;
        if (context != null) {
            context.addLogOptions(bytes);
            engine = context.core.handle;
            request = context.id;
        }
        Native.log(engine, request, level.ordinal(), bytes.array());
    }

    /**
     * Adds a field to all further records of this request, here where it is served: the user's id,
     * the tenant. A second value for a key replaces the first; up to 16 keys. Outside of a handler
     * nothing happens.
     *
     * @param key its key
     * @param value its value
     */
    public static void option(String key, String value) {
        Context context = Context.current();
        if (context != null) {
            context.logOption(key, value);
        }
    }

    /**
     * Waits until what was logged before is written, or lost and counted. For the end of a program.
     *
     * @param patience how long at most
     * @return whether it is
     */
    public static boolean flush(Duration patience) {
        return Native.logFlush((int) Math.min(patience.toMillis(), Integer.MAX_VALUE));
    }

    /** What an error says that it is; its class, if that fails. */
    static String named(Throwable error) {
        try {
            return String.valueOf(error);
        } catch (Throwable worse) {
            return error.getClass().getName();
        }
    }

    /**
     * What an error is and where it comes from, in one line of bounded length.
     *
     * @param error the error
     * @return its text and frames, then those of its causes
     */
    public static String trace(Throwable error) {
        StringBuilder text = new StringBuilder();
        try {
            trace(error, text);
        } catch (RuntimeException worse) {
            text.append(" and does not tell more");
        }
        return text.toString();
    }

    private static void trace(Throwable error, StringBuilder text) {
        String relation = "";
        Throwable one = error;
        for (int depth = 0; one != null && depth < CAUSES_MAX; depth++) {
            text.append(relation).append(named(one));
            StackTraceElement[] frames = one.getStackTrace();
            for (int index = 0; index < Math.min(frames.length, FRAMES_MAX); index++) {
                text.append(index == 0 ? " at " : ", ").append(frames[index]);
            }
            relation = "; caused by ";
            one = one.getCause();
        }
    }
}
