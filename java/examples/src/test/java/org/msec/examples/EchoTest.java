package org.msec.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The examples as processes, with the engine in Rust at the other end. */
@Timeout(120)
class EchoTest {
    private static final Path BUILT = Path.of(System.getProperty("msec.built"));

    /** A process that ends with the test. */
    private record Running(Process process, BufferedReader output) implements AutoCloseable {
        static Running of(List<String> command) throws IOException {
            ProcessBuilder builder = new ProcessBuilder(command);
            // Newer JVMs warn there of native libraries.
            Process process = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
            InputStreamReader bytes =
                    new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8);
            return new Running(process, new BufferedReader(bytes));
        }

        /** The rest of a line that begins with something. */
        String line(String begin) throws IOException {
            String line = output.readLine();
            while (line != null && !line.startsWith(begin)) {
                line = output.readLine();
            }
            assertTrue(line != null, "no line begins with `" + begin + "`");
            return line.substring(begin.length());
        }

        /** All that it writes until it ends, which it does well. */
        String end() throws Exception {
            String text = String.join("\n", output.lines().toList());
            assertTrue(process.waitFor(60, TimeUnit.SECONDS));
            assertEquals(0, process.exitValue(), text);
            return text;
        }

        @Override
        public void close() {
            process.destroyForcibly();
        }
    }

    private static Running java(String name, String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.add("-Xmx256m");
        command.add("-Dstdout.encoding=UTF-8");
        command.add("-Dfile.encoding=UTF-8");
        command.add("-Dsun.jnu.encoding=UTF-8");
        // What a JVM is told to look at goes where its complaints are looked for.
        command.add("-XX:+DisplayVMOutputToStderr");
        for (String option : System.getProperty("msec.java.options", "").split(" ")) {
            if (!option.isEmpty()) {
                command.add(option);
            }
        }
        command.add("-cp");
        command.add(System.getProperty("java.class.path"));
        command.add("org.msec.examples." + name);
        command.addAll(List.of(arguments));
        return Running.of(command);
    }

    @ParameterizedTest
    @ValueSource(strings = {"EchoServer", "BlockingEchoServer"})
    void theCommandCallsAServerInJava(String name) throws Exception {
        try (Running server = java(name, "127.0.0.1:0")) {
            String address = server.line("listening at ");
            String msec = BUILT.resolve("msec").toString();
            String method = "echo.EchoService.Echo";
            String body = "{\"message\": \"w6TmvKI=\"}";
            String proto = "src/main/proto/echo.proto";
            List<String> call = new ArrayList<>(List.of(msec, "call", address, method, body));
            // A JVM that is cold may take longer than the second that is the default.
            call.addAll(List.of("--proto", proto, "--timeout", "20s"));
            try (Running called = Running.of(call)) {
                String text = called.end();
                assertTrue(text.contains("w6TmvKI="), text);
            }
        }
    }

    @Test
    void aClientInJavaCallsAServerInRust() throws Exception {
        Path rust = BUILT.resolve("examples").resolve("echo");
        assertTrue(Files.exists(rust), rust + " is not built");
        try (Running server = Running.of(List.of(rust.toString(), "--listen", "127.0.0.1:0"))) {
            String address = server.line("echo listens on ").split(" ")[0];
            try (Running client = java("EchoClient", address, "one", "two")) {
                assertEquals("one\ntwo\none\ntwo", client.end());
            }
        }
    }
}
