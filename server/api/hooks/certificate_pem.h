/* certificate_pem.h - what is wrong with a certificate request or a chain of certificates that came
 * in PEM form, in base64. Hostile input. */
#pragma once

#include "lib/base/arena.h"

/* What is wrong, in upstream's words where it has words; NULL when nothing is. */
const char *certificate_request_problem(struct arena *a, const char *base64);
/* False when it can't be read, too. */
bool certificate_request_has_organization(struct arena *a, const char *base64, const char *name);
const char *certificates_problem(struct arena *a, const char *base64);
