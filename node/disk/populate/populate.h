/* populate.h - fills the claims of DataVolumes whose volumes are on this node, and says in the
 * DataVolumes' status how far that is (phases, conditions and events are CDI's). The server made
 * the claim (server/controllers/machines/data_volume.c).
 *
 *   claim bound, no disk there --> the source's start() --> a file --> disk_import.h --> Succeeded
 *                                       |  failed: again after 2, 4, ... 300 seconds
 *                                       +  can't be: Failed
 *
 * Nothing is remembered between agents but what is in the directory: a whole disk is Succeeded,
 * else the source begins again, and may go on with what it left in ".new-UID..." files there. */
#pragma once

#include "node/disk/disks.h"

struct populator;
struct container_disks;
/* Before n->claims and n->volumes start. */
struct populator *populator_create(struct node *n, struct container_disks *images);
void populator_destroy(struct populator *p); /* NULL allowed */
/* GET /uploads/NS/CLAIM?size=BYTES&wait=true|false with "Upgrade: hanok-upload": what comes by the
 * upgraded connection is the file; the answer that goes back is one of HTTP/1.1, for the client of
 * the server (server/api/machines/upload.h). 404: no upload is waited for. */
struct http_request;
void populator_upload(
	struct populator *p, struct http_request *req, const char *ns, const char *claim);

/* ---- for sources ---- */

struct populate_job;
struct populate_source {
	const char *field;		 /* member of spec.source */
	const char *scheduled, *running; /* phases: "ImportScheduled", "ImportInProgress" */
	const char *word;		 /* of events: "Import" */
	/* Begins; ends with one of the calls below. */
	void (*start)(struct populate_job *j);
	/* What has come is a disk that fits; what is left is work on this node. May be NULL. */
	void (*accepted)(struct populate_job *j);
	/* The job is over: err NULL = the disk is there. Before stop; may be NULL. */
	void (*over)(struct populate_job *j, const struct err *err);
	void (*stop)(struct populate_job *j); /* frees what start made; also after an end */
};
extern const struct populate_source *const populate_sources[]; /* NULL at the end */

struct populate_job {
	struct node *node;
	struct container_disks *images;
	const struct populate_source *source;
	struct arena arena;	       /* of this attempt */
	const struct json *doc, *spec; /* of the DataVolume; spec.source.FIELD */
	const char *namespace, *name, *uid;
	const char *directory; /* of the volume */
	int64_t size_bytes;    /* of the claim */
	bool preallocate;
	void *user; /* the source's */
};

/* How large the file that is fetched may be: archives and formats have their own on top of the
 * disk, but nobody fills the node's file system by the claim of a small one. */
int64_t populate_file_max(const struct populate_job *j);
/* Bytes that have come, and how many there are (0 = unknown). */
void populate_progress(struct populate_job *j, int64_t done_bytes, int64_t total_bytes);
/* The file that is to become the disk. take: it is in the directory and nobody's else. */
void populate_file(struct populate_job *j, const char *path, bool take);
/* An empty disk. */
void populate_empty(struct populate_job *j);
/* The disk is there, whole. */
void populate_done(struct populate_job *j);
/* Later it may work. */
void populate_retry(struct populate_job *j, const struct err *err);
/* It never will. */
void populate_fail(struct populate_job *j, const struct err *err);
/* Another phase of the same work (UploadReady). */
void populate_phase(struct populate_job *j, const char *phase);
