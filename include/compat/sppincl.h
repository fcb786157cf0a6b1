// All that a plugin of old knows of its server.

#ifndef MSEC_COMPAT_SPPINCL_H
#define MSEC_COMPAT_SPPINCL_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "configini.h"
#include "monitor.h"
#include "serverbase.h"

// What old code relies on being there.
using namespace std;
using namespace spp::comm;

#endif
