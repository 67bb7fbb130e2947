/* watch.h - watches over HTTP. */
#pragma once

struct api;

/* Ends every open watch in order (the client sees a finished answer and watches again). */
void watches_end(struct api *api);
