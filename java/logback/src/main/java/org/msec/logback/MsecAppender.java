package org.msec.logback;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxy;
import ch.qos.logback.core.AppenderBase;
import java.util.ArrayList;
import java.util.List;
import org.msec.Log;

/**
 * Writes what Logback has let through into the log of the engine: with the fields of the request
 * and of the MDC. The least level of the engine holds as well.
 *
 * <pre>{@code
 * <appender name="MSEC" class="org.msec.logback.MsecAppender"/>
 * }</pre>
 */
public final class MsecAppender extends AppenderBase<ILoggingEvent> {
    /** Made by Logback. */
    public MsecAppender() {}

    @Override
    protected void append(ILoggingEvent event) {
        Log.Level level = levelOf(event.getLevel());
        if (!Log.isOn(level)) {
            return;
        }
        List<Object> fields = new ArrayList<>();
        event.getMDCPropertyMap()
                .forEach(
                        (key, value) -> {
                            fields.add(key);
                            fields.add(value);
                        });
        String text = event.getFormattedMessage();
        if (event.getThrowableProxy() instanceof ThrowableProxy thrown) {
            text += ": " + Log.trace(thrown.getThrowable());
        }
        Log.write(level, event.getLoggerName(), text, fields.toArray());
    }

    private static Log.Level levelOf(Level level) {
        return switch (level.toInt()) {
            case Level.TRACE_INT -> Log.Level.TRACE;
            case Level.DEBUG_INT -> Log.Level.DEBUG;
            case Level.INFO_INT -> Log.Level.INFO;
            case Level.WARN_INT -> Log.Level.WARN;
            default -> Log.Level.ERROR;
        };
    }
}
