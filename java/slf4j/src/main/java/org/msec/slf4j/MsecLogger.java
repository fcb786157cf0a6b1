package org.msec.slf4j;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.msec.Log;
import org.slf4j.MDC;
import org.slf4j.Marker;
import org.slf4j.event.Level;
import org.slf4j.helpers.LegacyAbstractLogger;
import org.slf4j.helpers.MessageFormatter;

/**
 * A logger whose records are the engine's: with the fields of the request, and with those of the
 * MDC. Markers are not written.
 */
final class MsecLogger extends LegacyAbstractLogger {
    private static final long serialVersionUID = 1L;

    MsecLogger(String name) {
        this.name = name;
    }

    @Override
    public boolean isTraceEnabled() {
        return Log.isOn(Log.Level.TRACE);
    }

    @Override
    public boolean isDebugEnabled() {
        return Log.isOn(Log.Level.DEBUG);
    }

    @Override
    public boolean isInfoEnabled() {
        return Log.isOn(Log.Level.INFO);
    }

    @Override
    public boolean isWarnEnabled() {
        return Log.isOn(Log.Level.WARN);
    }

    @Override
    public boolean isErrorEnabled() {
        return Log.isOn(Log.Level.ERROR);
    }

    @Override
    protected String getFullyQualifiedCallerName() {
        return null;
    }

    @Override
    protected void handleNormalizedLoggingCall(
            Level level, Marker marker, String pattern, Object[] arguments, Throwable thrown) {
        String text = MessageFormatter.basicArrayFormat(pattern, arguments);
        List<Object> fields = new ArrayList<>();
        Map<String, String> context = MDC.getCopyOfContextMap();
        if (context != null) {
            context.forEach(
                    (key, value) -> {
                        fields.add(key);
                        fields.add(value);
                    });
        }
        if (thrown != null) {
            text += ": " + Log.trace(thrown);
        }
        Log.write(levelOf(level), getName(), text, fields.toArray());
    }

    private static Log.Level levelOf(Level level) {
        return switch (level) {
            case TRACE -> Log.Level.TRACE;
            case DEBUG -> Log.Level.DEBUG;
            case INFO -> Log.Level.INFO;
            case WARN -> Log.Level.WARN;
            case ERROR -> Log.Level.ERROR;
        };
    }
}
