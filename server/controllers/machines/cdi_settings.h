/* cdi_settings.h - what the loops of CDI's kinds ask about storage classes. */
#pragma once

#include "lib/client/informer.h"

/* The class of claims that name none; NULL = there is none. Of the informer's cache. */
const char *storage_class_default(struct informer *classes, struct arena *a);
