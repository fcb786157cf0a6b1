package org.msec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Several texts and numbers in one array, as ffi-java/src/fields.rs reads and writes them. */
final class Fields {
    private byte[] bytes = new byte[64];
    private int length;

    Fields number(long number) {
        ByteBuffer.wrap(room(8), length - 8, 8).order(ByteOrder.LITTLE_ENDIAN).putLong(number);
        return this;
    }

    Fields text(String text) {
        return bytes(text.getBytes(StandardCharsets.UTF_8));
    }

    Fields bytes(byte[] field) {
        byte[] room = room(4 + field.length);
        int at = length - field.length;
        ByteBuffer.wrap(room, at - 4, 4).order(ByteOrder.LITTLE_ENDIAN).putInt(field.length);
        System.arraycopy(field, 0, room, at, field.length);
        return this;
    }

    /** All the fields of another one. */
    Fields append(Fields more) {
        byte[] room = room(more.length);
        System.arraycopy(more.bytes, 0, room, length - more.length, more.length);
        return this;
    }

    byte[] array() {
        return Arrays.copyOf(bytes, length);
    }

    /** One text alone. */
    static byte[] of(String text) {
        return new Fields().text(text).array();
    }

    private byte[] room(int more) {
        if (bytes.length - length < more) {
            bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, length + more));
        }
        length += more;
        return bytes;
    }

    /** Reads what the native library has written. */
    static final class Reader {
        private final ByteBuffer rest;

        Reader(byte[] bytes) {
            rest = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        }

        boolean isEmpty() {
            return !rest.hasRemaining();
        }

        long number() {
            return rest.getLong();
        }

        byte[] bytes() {
            byte[] field = new byte[rest.getInt()];
            rest.get(field);
            return field;
        }

        String text() {
            return new String(bytes(), StandardCharsets.UTF_8);
        }
    }
}
