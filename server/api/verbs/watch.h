/* watch.h - watches over HTTP. */
#pragma once

struct api;
struct kind;

/* Ends every open watch in order (the client sees a finished answer and watches again). */
void watches_end(struct api *api);
/* Those of a resource: it changed or is gone. */
void watches_end_kind(struct api *api, const struct kind *k);
