/* ksm.h - the kernel's merging of equal pages (KSM), switched on where the KubeVirt configuration
 * says so (spec.configuration.ksmConfiguration.nodeLabelSelector matches this node's labels), and
 * off again when it no longer does, unless somebody else had switched it on. */
#pragma once

#include "lib/json/json.h"

/* Pure: whether the node with these labels shall merge pages. Configuration NULL or without a
 * selector: no. An empty selector means every node. */
bool ksm_wanted(const struct json *configuration, const struct json *labels);

struct ksm {
	bool there; /* the kernel has it */
	bool running;
	int64_t shared_pages, sharing_pages; /* that are kept, and that use them */
	int64_t saved_bytes;
};
/* `root` is "" (or a tree of a test). */
void ksm_read(const char *root, struct ksm *ret);
/* 0, or negative errno. `record` is a file that says that it was us who switched it on. */
int ksm_switch(const char *root, const char *record, bool on) _must_check_;
/* As Prometheus text, by node_exporter's names; nothing where the kernel has none. */
void ksm_write_metrics(const char *root, struct buf *out);
