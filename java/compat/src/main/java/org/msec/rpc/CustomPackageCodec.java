package org.msec.rpc;

import java.io.ByteArrayOutputStream;

/** A third party's protocol whose messages have a sequence number, by which answers are matched. */
public interface CustomPackageCodec extends CustomPackageLengthChecker {
    /**
     * Writes a request.
     *
     * @param sequence the number that its answer has to have
     * @param stream where to
     * @return 0 if it is written
     */
    int encode(long sequence, ByteArrayOutputStream stream);

    /**
     * Reads the number out of an answer.
     *
     * @param data the whole answer
     * @return the number
     */
    long decodeSequence(byte[] data);
}
