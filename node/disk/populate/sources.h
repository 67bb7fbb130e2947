/* sources.h - the table of what DataVolumes may be filled from; each source is a file here. */
#pragma once

#include "node/disk/populate/populate.h"

extern const struct populate_source source_http;		   /* source_http.c */
extern const struct populate_source source_registry;		   /* source_registry.c */
extern const struct populate_source source_upload;		   /* source_upload.c */
extern const struct populate_source source_claim, source_snapshot; /* source_clone.c */

struct http_request;
/* j NULL = none waits for one; why: what became of the last, or NULL. */
void source_upload_serve(struct populate_job *j, struct http_request *req, const char *why);
