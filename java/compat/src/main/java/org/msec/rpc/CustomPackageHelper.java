package org.msec.rpc;

/** {@link CustomPackageCodec} by the name that the original's manual has for it. */
public interface CustomPackageHelper extends CustomPackageCodec {}
