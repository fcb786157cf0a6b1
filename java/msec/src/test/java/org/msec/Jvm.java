package org.msec;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A JVM of its own, whose program says where it listens. */
final class Jvm implements AutoCloseable {
    private final Process process;
    private final Path log;
    /** Of its server. */
    final String address;

    private Jvm(Process process, Path log, String address) {
        this.process = process;
        this.log = log;
        this.address = address;
    }

    /** The class path and the properties are those of this one. */
    static Jvm start(Path folder, Class<?> program, String... options) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(options));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), program.getName()));
        Path log = Files.createTempFile(folder, "jvm", ".log");
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(log.toFile());
        Process process = builder.start();
        BufferedReader output =
                new BufferedReader(
                        new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = output.readLine();
        if (line == null) {
            throw new AssertionError("it does not start: " + Files.readString(log));
        }
        return new Jvm(process, log, line);
    }

    /** Sends a signal: {@code STOP}, {@code CONT}, {@code KILL}. */
    void signal(String name) throws Exception {
        ProcessBuilder kill = new ProcessBuilder("kill", "-" + name, "" + process.pid());
        if (kill.inheritIO().start().waitFor() != 0) {
            throw new AssertionError("no signal " + name);
        }
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** What it has written to standard error, where the log goes. */
    String log() {
        try {
            return Files.readString(log);
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    @Override
    public void close() throws InterruptedException {
        process.destroyForcibly();
        process.waitFor(20, TimeUnit.SECONDS);
    }
}
