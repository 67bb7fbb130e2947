/* sliced_list.h - lists whose items are parsed to be answered: tables, metadata, pretty JSON, YAML;
 * and those whose items are made on request (hooks.h).
 * They are made a slice at a time, as the client takes them: a list of thousands neither keeps the
 * loop from other work nor is in memory as a whole. */
#pragma once

#include "server/api/api_internal.h"

/* meta: text inside the braces of metadata, of the request's arena. The page's items are referred
 * to until the end. */
void sliced_list_respond(struct api_request *req, const struct cache_page *page, const char *meta);
/* Cuts those of a kind that changes or goes: what they are made with is its own. */
void sliced_lists_end_kind(struct api *api, const struct kind *k);
