package org.msec.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.msec.MsecException;
import org.msec.Status;

class ConfigIniTest {
    @TempDir Path folder;

    private ConfigIni of(String... lines) throws Exception {
        Path place = folder.resolve("Library/shelf");
        Files.createDirectories(place.resolve("bin/lib"));
        Files.createDirectories(place.resolve("etc"));
        byte[] comment = {';', (byte) 0xd6, (byte) 0xd0, '\n'};
        Path file = Files.write(place.resolve("etc/config.ini"), comment);
        Files.write(file, List.of(lines), StandardOpenOption.APPEND);
        return ConfigIni.around(place.resolve("bin/lib"));
    }

    @Test
    void whatAFileSaysIsRead() throws Exception {
        ConfigIni config =
                of(
                        "; a comment",
                        "[LOG]",
                        " Level = DEBUG # what for",
                        "[COLOR]",
                        "FieldName0=uin",
                        "FieldValue0=7",
                        "FieldName1=city",
                        "FieldValue1=Köln",
                        "FieldName3=nobody",
                        "FieldValue3=asks");
        assertEquals("Library.shelf", config.service());
        assertEquals("DEBUG", config.value("LOG", "Level"));
        assertNull(config.value("log", "Level"));
        assertEquals(Map.of("uin", "7", "city", "Köln"), config.colors());
    }

    @Test
    void entriesOfListenAreAddresses() throws Exception {
        ConfigIni config = of("[SRPC]", "listen = all:7963/udp  all:7963/tcp lo:80 7964/tcp");
        List<String> expected =
                List.of("0.0.0.0:7963@udp", "0.0.0.0:7963", "127.0.0.1:80", "0.0.0.0:7964");
        assertEquals(expected, config.listen());
        assertEquals(List.of("10.0.0.1:1"), of("[SRPC]", "listen=10.0.0.1:1/tcp").listen());
        for (String wrong : List.of("nowhere0:7963/tcp", "all:7963/sctp", "all:port/tcp")) {
            ConfigIni bad = of("[SRPC]", "listen = " + wrong);
            MsecException error = assertThrows(MsecException.class, bad::listen);
            assertEquals(Status.INVALID_ENDPOINT, error.status());
            assertTrue(error.getMessage().contains("`" + wrong + "`"), error.getMessage());
        }
    }
}
