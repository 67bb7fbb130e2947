/* The sources that DataVolumes may have, and those that take no file of their own. */
#include "node/disk/populate/sources.h"

static void start_blank(struct populate_job *j)
{
	populate_empty(j);
}

static const struct populate_source source_blank = {
	.field = "blank",
	.scheduled = "ImportScheduled",
	.running = "ImportInProgress",
	.word = "Import",
	.start = start_blank,
};

const struct populate_source *const populate_sources[] = {
	&source_blank,
	&source_http,
	&source_registry,
	&source_upload,
	&source_claim,
	&source_snapshot,
	NULL,
};
