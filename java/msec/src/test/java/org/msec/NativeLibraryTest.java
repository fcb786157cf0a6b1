package org.msec;

import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Where the native library is found, and what is said where it is not. */
@Timeout(120)
class NativeLibraryTest {
    /** Starts an engine and tells of it; a program for processes and class loaders of their own. */
    public static final class Program {
        private Program() {}

        /** What it is started with is of no interest. */
        public static void main(String[] arguments) {
            try (Engine engine = Engine.start(new Config().cores(1))) {
                System.out.println("cores " + engine.config().get("cores"));
            } catch (MsecException error) {
                System.out.println(error);
            }
        }
    }

    private static List<URL> classPath() throws Exception {
        List<URL> urls = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(":")) {
            urls.add(Path.of(entry).toUri().toURL());
        }
        return urls;
    }

    /** What the program says in a process of its own. */
    private static String run(String classPath, String... options) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.add("-Xmx128m");
        command.addAll(List.of(options));
        command.addAll(List.of("-cp", classPath, Program.class.getName()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes());
        assertTrue(process.waitFor(60, TimeUnit.SECONDS));
        return text;
    }

    /** The class path with a copy of our classes that has no native library. */
    private static String withoutLibrary(Path folder) throws Exception {
        Path classes = Path.of("target", "classes").toAbsolutePath();
        try (Stream<Path> files = Files.walk(classes)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                if (!file.toString().endsWith(".so")) {
                    Path copy = folder.resolve(classes.relativize(file).toString());
                    Files.createDirectories(copy.getParent());
                    Files.copy(file, copy);
                }
            }
        }
        List<String> entries = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(":")) {
            boolean ours = Path.of(entry).toAbsolutePath().equals(classes);
            entries.add(ours ? folder.toString() : entry);
        }
        return String.join(":", entries);
    }

    @Test
    void aMissingLibraryIsNamedAndSoIsWhereItWasLookedFor(@TempDir Path folder) throws Exception {
        String text = run(withoutLibrary(folder), "-Djava.library.path=/none/where");
        assertTrue(text.contains("no libmsec_jni.so of msec " + Layout.VERSION), text);
        assertTrue(text.contains("java.library.path=/none/where"), text);
        String machine = System.getProperty("os.arch");
        String resource = "/org/msec/native/linux-" + machine + "/libmsec_jni.so of the jar";
        assertTrue(text.contains(resource + ": is not there"), text);
    }

    @Test
    void aFolderForTheJarsCopyThatIsNoneIsNamed(@TempDir Path folder) throws Exception {
        String none = folder.resolve("none").toString();
        String text = run(System.getProperty("java.class.path"), "-Djava.io.tmpdir=" + none);
        assertTrue(text.contains("cannot be copied into java.io.tmpdir=" + none), text);
        assertTrue(text.contains("has to be there and to be writable"), text);
    }

    /** The jar is to be small, and its copy is gone before anybody could read what is cut off. */
    @Test
    void theJarsLibraryHasNothingForDebuggers() throws Exception {
        String resource = "native/linux-" + System.getProperty("os.arch") + "/libmsec_jni.so";
        byte[] library = Native.class.getResourceAsStream(resource).readAllBytes();
        Path whole = Path.of(System.getProperty("msec.built"), "libmsec_jni.so");
        assertTrue(library.length < Files.size(whole) / 3, library.length + " bytes");
    }

    @Test
    void theLibraryPathGoesBeforeTheJar(@TempDir Path folder) throws Exception {
        Path classes = Files.createDirectory(folder.resolve("classes"));
        Path path = Files.createDirectory(folder.resolve("path"));
        Path library = Path.of(System.getProperty("msec.built"), "libmsec_jni.so");
        Files.copy(library, path.resolve("libmsec_jni.so"));
        String text = run(withoutLibrary(classes), "-Djava.library.path=" + path);
        assertTrue(text.contains("cores 1"), text);
    }

    @Test
    void aLibraryThatIsNoneIsToldAndTheJarsIsTaken(@TempDir Path folder) throws Exception {
        Files.writeString(folder.resolve("libmsec_jni.so"), "no library");
        String path = "-Djava.library.path=" + folder;
        String found = run(System.getProperty("java.class.path"), path);
        assertTrue(found.contains("cores 1"), found);
        Path classes = Files.createDirectory(folder.resolve("classes"));
        String text = run(withoutLibrary(classes), path);
        assertTrue(text.contains(folder.resolve("libmsec_jni.so") + ": "), text);
    }

    @Test
    void aLibraryOfAnotherVersionIsRefused(@TempDir Path folder) throws Exception {
        // The version is a text in the constants of the class, and in those of the library.
        Path library = Path.of(System.getProperty("msec.built"), "libmsec_jni.so");
        Path other = folder.resolve("libmsec_jni.so");
        Files.copy(library, other);
        Path classes = Files.createDirectory(folder.resolve("classes"));
        String classPath = withoutLibrary(classes);
        // What the compiler has put into the classes that use it is changed as well.
        try (Stream<Path> files = Files.walk(classes)) {
            for (Path file : files.filter(file -> file.toString().endsWith(".class")).toList()) {
                String text = new String(Files.readAllBytes(file), "ISO-8859-1");
                String changed = text.replace(Layout.VERSION, "9.9.9");
                Files.write(file, changed.getBytes("ISO-8859-1"));
            }
        }
        String text = run(classPath, "-Djava.library.path=" + folder);
        assertTrue(text.contains("the jar is msec 9.9.9 and " + other), text);
        assertTrue(text.contains("is msec " + Layout.VERSION), text);
    }

    /** Whether a thread is inside of a method of the class that loads. */
    private static boolean loads(Thread thread) {
        return Stream.of(thread.getStackTrace())
                .anyMatch(
                        frame ->
                                frame.getClassName().equals(NativeLibrary.class.getName())
                                        && frame.getMethodName().startsWith("load"));
    }

    @Test
    void twoThreadsThatNeedItFirstDoNotWaitForEachOther() throws Exception {
        URL[] urls = classPath().toArray(new URL[0]);
        for (int round = 0; round < 3; round++) {
            ClassLoader above = ClassLoader.getPlatformClassLoader();
            try (URLClassLoader loader = new URLClassLoader(urls, above)) {
                Method start = loader.loadClass("org.msec.Engine").getMethod("start");
                Class<?> level = loader.loadClass("org.msec.Log$Level");
                Object info = level.getEnumConstants()[2];
                Method isOn = loader.loadClass("org.msec.Log").getMethod("isOn", level);
                FutureTask<Object> starts = new FutureTask<>(() -> start.invoke(null));
                Thread first = new Thread(starts);
                first.setDaemon(true);
                first.start();
                while (first.isAlive() && !loads(first)) {
                    Thread.onSpinWait();
                }
                FutureTask<Object> asks = new FutureTask<>(() -> isOn.invoke(null, info));
                Thread second = new Thread(asks);
                second.setDaemon(true);
                second.start();
                asks.get(20, TimeUnit.SECONDS);
                ((AutoCloseable) starts.get(20, TimeUnit.SECONDS)).close();
            }
        }
    }

    @Test
    void classLoadersOneAfterTheOtherHaveLibrariesOfTheirOwn() throws Exception {
        URL[] urls = classPath().toArray(new URL[0]);
        Class<?> last = Program.class;
        for (int deployment = 0; deployment < 3; deployment++) {
            ClassLoader above = ClassLoader.getPlatformClassLoader();
            try (URLClassLoader loader = new URLClassLoader(urls, above)) {
                Class<?> program = loader.loadClass(Program.class.getName());
                assertNotSame(last, program);
                Method start = loader.loadClass("org.msec.Engine").getMethod("start");
                try (AutoCloseable engine = (AutoCloseable) start.invoke(null)) {
                    assertTrue(engine.getClass() != Engine.class);
                }
                last = program;
            }
            System.gc();
        }
    }
}
