/* file_work.h - file operations that may take long (a million files, a disk that is slow, a file
 * server that does not answer) on threads of their own, so that the event loop never waits for one.
 *
 * Jobs of one key (a pod's uid) run one after another, in the order in which they came; those of
 * different keys side by side. `at_once` of them, but what has run for longer than slow_ms is
 * not counted: what hangs delays nobody else. FILE_WORK_THREADS_MAX threads are the end of that.
 *
 * A job's memory is the job's: `run` sees `user` and nothing else, and `done` frees it. */
#pragma once

#include <stdbool.h>
#include <uv.h>

enum { FILE_WORK_THREADS = 4, FILE_WORK_THREADS_MAX = 64 };
#define FILE_WORK_SLOW_MS 3000

struct file_work;
struct file_job;

/* On a thread. */
typedef void file_job_run(void *user);
/* Once, later, on the loop; or, with cancelled, wherever it is: it must free `user` then, touch
 * nothing else, and `run` may not have been called. */
typedef void file_job_done(void *user, bool cancelled);

struct file_work *file_work_create(uv_loop_t *loop, unsigned at_once, unsigned slow_ms);
/* Cancels what has not begun. Who runs goes on, and is cancelled when it ends; nobody waits for
 * that. */
void file_work_destroy(struct file_work *f); /* NULL allowed */
struct file_job *file_work_queue(
	struct file_work *f, const char *key, file_job_run *run, file_job_done *done, void *user);
/* Not after done was called. A job that runs goes on, and those of its key behind it wait for it.
 */
void file_job_cancel(struct file_job *j); /* NULL allowed */
