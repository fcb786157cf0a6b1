package org.msec;

/**
 * Serves the requests of one method.
 *
 * @param <Q> the request: a message, or {@code byte[]}
 * @param <R> the answer: likewise
 */
@FunctionalInterface
public interface Handler<Q, R> {
    /**
     * Serves a request. Called on several threads at a time.
     *
     * @param context what is known of the request; valid until this returns
     * @param request the request
     * @return the answer; null is answered with -18
     * @throws Exception a {@link MsecException} is answered with its status and message, anything
     *     else with -18 and what it is
     */
    R handle(Context context, Q request) throws Exception;
}
