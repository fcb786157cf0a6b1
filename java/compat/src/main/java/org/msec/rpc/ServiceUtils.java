package org.msec.rpc;

import java.util.Timer;
import java.util.TimerTask;

/** What services do beside serving. */
public final class ServiceUtils {
    private ServiceUtils() {}

    /**
     * Runs a task again and again, on a thread of its own that keeps no program from ending. It
     * ends when the task cancels itself or throws.
     *
     * @param task what to run
     * @param milliseconds between the beginnings of two runs, and before the first one
     */
    public static void loop(TimerTask task, long milliseconds) {
        // One for each: what throws would end all that share a timer.
        new Timer("msec-loop", true).schedule(task, milliseconds, milliseconds);
    }
}
