// The business of @PACKAGE@. `msec gen --compat` does not write this file again.

#include "msg_@NAME@_impl.h"
@METHODS@
