package org.msec;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A method of an object that is given to {@link Server.Builder#object(Object)} serves requests. It
 * takes a {@link Context} and a message, or an array of bytes, and returns one.
 *
 * <pre>{@code
 * @Serves("echo.EchoService.Echo")
 * public EchoResponse echo(Context context, EchoRequest request) { … }
 * }</pre>
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
public @interface Serves {
    /**
     * The full name.
     *
     * @return {@code package.Service.Method}
     */
    String value();
}
