package org.msec.rpc;

/** Says where an answer of a third party's protocol ends. */
public interface CustomPackageLengthChecker {
    /**
     * Looks at the bytes that have come so far. Called each time when there are more.
     *
     * @param data all of them
     * @return the length of the whole answer; 0 if that is not known yet, less than 0 if this is
     *     no answer
     */
    int checkPackageLength(byte[] data);
}
