package org.msec;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;

/**
 * Finds and loads the native library: first in {@code java.library.path}, then in the jar.
 *
 * <p>The jar's copy is written to a file of its own for each class loader, since a JVM lets only
 * one of them have a library of one path; the file is removed as soon as it is loaded.
 *
 * <p>{@link Native} asks for this while the JVM initializes it, and other threads wait for that; so
 * nothing here may touch that class.
 */
final class NativeLibrary {
    private static final String NAME = "libmsec_jni.so";

    private static boolean tried;
    private static String failure;

    private NativeLibrary() {}

    /** Loads it, once; every time fails as the first did. */
    static synchronized void require() {
        if (!tried) {
            tried = true;
            try {
                load();
            } catch (MsecException error) {
                failure = error.getMessage();
            }
        }
        if (failure != null) {
            throw new MsecException(Status.SYSTEM_ERROR, failure);
        }
    }

    private static void load() {
        List<String> looked = new ArrayList<>();
        if (!loadFromPath(looked) && !loadFromJar(looked)) {
            throw missing(looked);
        }
        checkVersion(looked);
    }

    private static MsecException missing(List<String> looked) {
        String machine = System.getProperty("os.name") + " " + System.getProperty("os.arch");
        return new MsecException(
                Status.SYSTEM_ERROR,
                "no " + NAME + " of msec " + Layout.VERSION + " can be loaded on " + machine
                        + "; looked at " + String.join("; ", looked));
    }

    private static boolean loadFromPath(List<String> looked) {
        String path = System.getProperty("java.library.path", "");
        for (String folder : path.split(":")) {
            if (folder.isEmpty()) {
                continue;
            }
            Path file = Path.of(folder).toAbsolutePath().resolve(NAME);
            if (!Files.exists(file)) {
                continue;
            }
            try {
                System.load(file.toString());
                looked.add(file.toString());
                return true;
            } catch (UnsatisfiedLinkError error) {
                looked.add(file + ": " + error.getMessage());
            }
        }
        looked.add("java.library.path=" + path);
        return false;
    }

    private static boolean loadFromJar(List<String> looked) {
        // As the build of the jar has it.
        String resource = "/org/msec/native/linux-" + System.getProperty("os.arch") + "/" + NAME;
        String folder = System.getProperty("java.io.tmpdir");
        try (InputStream library = NativeLibrary.class.getResourceAsStream(resource)) {
            if (library == null) {
                looked.add(resource + " of the jar: is not there");
                return false;
            }
            Path file = Files.createTempFile(Path.of(folder), "libmsec_jni-", ".so");
            try {
                Files.copy(library, file, StandardCopyOption.REPLACE_EXISTING);
                System.load(file.toString());
                looked.add(resource + " of the jar");
                return true;
            } finally {
                Files.deleteIfExists(file);
            }
        } catch (IOException error) {
            looked.add(
                    resource + " of the jar, which cannot be copied into java.io.tmpdir=" + folder
                            + ", a folder that has to be there and to be writable: " + error);
            return false;
        } catch (UnsatisfiedLinkError error) {
            looked.add(
                    resource + " of the jar, whose copy in java.io.tmpdir=" + folder
                            + " cannot be loaded; the folder may be mounted noexec, then name"
                            + " another one: " + error.getMessage());
            return false;
        }
    }

    private static native byte[] version();

    private static void checkVersion(List<String> looked) {
        String version;
        try {
            version = new String(version(), StandardCharsets.UTF_8);
        } catch (UnsatisfiedLinkError error) {
            version = "unknown (" + error.getMessage() + ")";
        }
        if (!version.equals(Layout.VERSION)) {
            throw new MsecException(
                    Status.SYSTEM_ERROR,
                    "the jar is msec " + Layout.VERSION + " and " + looked.get(looked.size() - 1)
                            + " is msec " + version + ": both have to be of one version");
        }
    }
}
