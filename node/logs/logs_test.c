/* Rotation, and reading what was rotated as one log: from the last lines, and while it grows. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "node/logs/log_files.h"
#include "node/logs/log_reader.h"

#define SECOND(n) ((INT64_C(1700000000) + (n)) * NS_PER_S)

static char dir[64], path[80];
static const struct log_rotate_limits limits = {.max_bytes = 100, .max_files = 4};

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/logs_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/0.log", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void append(const char *text)
{
	FILE *f = fopen(path, "a");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Lines "N" from..to of a container, in full records. */
static void write_lines(int from, int to)
{
	for (int i = from; i <= to; i++) {
		char line[80];
		snprintf(line, sizeof(line), "2024-01-02T03:04:05.%09dZ stdout F %d\n", i, i);
		append(line);
	}
}

static char *rotate_at(int64_t second)
{
	char *rotated = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(
		log_rotate(path, &limits, SECOND(second), &rotated, &err), LOG_ROTATE_RENAMED);
	return rotated;
}

static size_t count_files(void)
{
	struct log_files files;

	log_files_list(path, &files);
	size_t n = files.rotated.count;
	log_files_finish(&files);
	return n;
}

/* The last words of all records, one after another; P records give "word+". */
static char *words(struct arena *a, const char *p, size_t size)
{
	struct str rest = {p, size}, line;
	const char *text = "";

	while (rest.size && str_split(&rest, '\n', &line)) {
		const char *space = memrchr(line.p, ' ', line.size);
		const char *word = space ? space + 1 : line.p;
		bool partial = space && space > line.p && space[-1] == 'P';
		text = arena_printf(a, "%s%s%.*s%s", text, *text ? " " : "",
			(int)(line.p + line.size - word), word, partial ? "+" : "");
	}
	return arena_strdup(a, text);
}

static void read_more(struct log_reader *r, struct buf *to)
{
	do {
		for (ssize_t n;;) {
			buf_reserve(to, 1000);
			n = log_reader_read(r, to->data + to->size, 7);
			assert_true(n >= 0);
			if (n == 0)
				break;
			to->size += (size_t)n;
		}
	} while (log_reader_next(r));
}

static void expect_since(int64_t tail, int64_t since_ns, const char *wanted)
{
	struct arena a = ARENA_INIT;
	struct log_reader *r;
	struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(log_reader_open(path, tail, since_ns, &r, &err), 0);
	read_more(r, &b);
	log_reader_close(r);
	assert_string_equal(words(&a, b.data ? b.data : "", b.size), wanted);
	buf_finish(&b);
	arena_finish(&a);
}

static void expect(int64_t tail, const char *wanted)
{
	expect_since(tail, 0, wanted);
}

static void rotation(void **state)
{
	struct err err = ERR_INIT;
	char *rotated = NULL;

	assert_int_equal(log_rotate(path, &limits, SECOND(0), &rotated, &err), LOG_ROTATE_MISSING);
	write_lines(1, 1);
	assert_int_equal(log_rotate(path, &limits, SECOND(0), &rotated, &err), LOG_ROTATE_NONE);
	write_lines(2, 4);
	rotated = rotate_at(0);
	assert_string_equal(rotated + strlen(path), ".20231114-221320");
	/* The runtime did not go along. */
	log_rotate_undo(path, rotated);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(count_files(), 0);
	free(rotated);

	free(rotate_at(0));
	write_lines(5, 8);
	/* Within the same second nothing is overwritten. */
	rotated = NULL;
	assert_int_equal(log_rotate(path, &limits, SECOND(0), &rotated, &err), -EEXIST);
	free(rotate_at(1));
	write_lines(9, 12);
	free(rotate_at(2));
	write_lines(13, 16);
	assert_int_equal(count_files(), 3);
	expect(-1, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16");
	/* Four files with the present one; the others but the latest are compressed. */
	free(rotate_at(3));
	write_lines(17, 17);
	struct log_files files;
	log_files_list(path, &files);
	assert_int_equal(files.rotated.count, 3);
	assert_true(files.rotated.items[0].compressed);
	assert_true(files.rotated.items[1].compressed);
	assert_false(files.rotated.items[2].compressed);
	assert_true(str_has_suffix(files.rotated.items[2].path, "0.log.20231114-221323"));
	log_files_finish(&files);
	expect(-1, "5 6 7 8 9 10 11 12 13 14 15 16 17");
}

static void tails_across_files(void **state)
{
	write_lines(1, 4);
	free(rotate_at(0));
	write_lines(5, 8);
	free(rotate_at(1));
	write_lines(9, 12);
	free(rotate_at(2));
	write_lines(13, 14);
	expect(0, "");
	expect(1, "14");
	expect(2, "13 14");
	expect(3, "12 13 14");
	expect(6, "9 10 11 12 13 14");
	expect(7, "8 9 10 11 12 13 14");
	expect(11, "4 5 6 7 8 9 10 11 12 13 14");
	expect(14, "1 2 3 4 5 6 7 8 9 10 11 12 13 14");
	expect(INT64_MAX, "1 2 3 4 5 6 7 8 9 10 11 12 13 14");
	/* Files whose last line is too old; compression keeps that time. */
	struct log_files files;
	struct timespec then[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	log_files_list(path, &files);
	assert_int_equal(utimensat(AT_FDCWD, files.rotated.items[0].path, then, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, files.rotated.items[2].path, then, 0), 0);
	log_files_finish(&files);
	expect_since(-1, 2000 * NS_PER_S, "5 6 7 8 13 14");
	write_lines(15, 16);
	free(rotate_at(3));
	write_lines(17, 17);
	expect_since(-1, 2000 * NS_PER_S, "5 6 7 8 13 14 15 16 17");
}

#define PART(word) "2024-01-02T03:04:05Z stdout P " word "\n"
#define FULL(word) "2024-01-02T03:04:05Z stdout F " word "\n"

static void lines_in_parts(void **state)
{
	append(FULL("a") PART("b1") PART("b2") FULL("b3") FULL("c") PART("d1"));
	expect(1, "d1+");
	expect(2, "c d1+");
	expect(3, "b1+ b2+ b3 c d1+");
	append(PART("d2"));
	expect(1, "d1+ d2+");
	append(FULL("d3"));
	expect(1, "d1+ d2+ d3");
	expect(2, "c d1+ d2+ d3");
	/* A part at the end of a file belongs to the line that goes on in the next. */
	append(PART("e1"));
	free(rotate_at(0));
	append(PART("e2") FULL("e3") FULL("f"));
	expect(1, "f");
	expect(3, "d1+ d2+ d3 e1+ e2+ e3 f");
	append(FULL("g") FULL("h") FULL("i") FULL("j"));
	free(rotate_at(1));
	append(FULL("k"));
	/* The same in a compressed file. */
	expect(8, "d1+ d2+ d3 e1+ e2+ e3 f g h i j k");
}

static void odd_files(void **state)
{
	struct log_reader *r;
	struct err err = ERR_INIT;
	char other[120];

	assert_int_equal(log_reader_open(path, -1, 0, &r, &err), -ENOENT);
	append("");
	expect(-1, "");
	expect(5, "");
	append("no record\nF\nx");
	expect(1, "x");
	expect(2, "F x");
	expect(3, "record F x");
	append("\n");
	/* Larger than what is looked at at once, also backwards over its border. */
	write_lines(1, 4000);
	expect(2, "3999 4000");
	for (int64_t lines = 1500; lines < 1800; lines++) {
		char first[40];
		ssize_t n;
		assert_int_equal(log_reader_open(path, lines, 0, &r, &err), 0);
		n = log_reader_read(r, first, sizeof(first) - 1);
		assert_true(n > 30);
		first[30] = '\0';
		assert_int_equal(strtol(first + 20, NULL, 10), 4000 - lines + 1);
		log_reader_close(r);
	}
	/* A pipe or a link in its place is not opened. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(log_reader_open(path, -1, 0, &r, &err), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(log_reader_open(path, -1, 0, &r, &err), -ELOOP);
	assert_int_equal(unlink(path), 0);
	/* Names that only look like it, and a damaged archive. */
	write_lines(1, 2);
	static const char *const names[] = {"0.log.x", "0.log.20240102-030405.tmp",
		"0.log.20240102-030405.gz.tmp", "10.log.20240102-030405", "0.log.20240102",
		"0.log.20240102-030405.gz"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(other, sizeof(other), "%s/%s", dir, names[i]);
		FILE *f = fopen(other, "w");
		assert_non_null(f);
		fputs("\x1f\x8b\x08rubbish", f);
		fclose(f);
	}
	assert_int_equal(count_files(), 1);
	expect(-1, "1 2");
	expect(5, "1 2");
}

static void followed_while_rotated(void **state)
{
	struct arena a = ARENA_INIT;
	struct log_reader *r;
	struct buf b = BUF_INIT;
	struct err err = ERR_INIT;

	write_lines(1, 4);
	assert_int_equal(log_reader_open(path, -1, 0, &r, &err), 0);
	read_more(r, &b);
	assert_false(log_reader_catch_up(r, 5));
	char *rotated = rotate_at(0);
	assert_false(log_reader_catch_up(r, 5)); /* there is no new one yet */
	/* What the runtime still writes to the old one is not lost. */
	FILE *f = fopen(rotated, "a");
	assert_non_null(f);
	fputs(FULL("late"), f);
	fclose(f);
	free(rotated);
	write_lines(5, 8);
	assert_true(log_reader_catch_up(r, 5));
	assert_false(log_reader_catch_up(r, 5));
	read_more(r, &b);
	assert_string_equal(words(&a, b.data, b.size), "1 2 3 4 late 5 6 7 8");
	/* Two rotations at a time, one of the files compressed by then. */
	buf_clear(&b);
	free(rotate_at(1));
	write_lines(9, 12);
	free(rotate_at(2));
	write_lines(13, 13);
	assert_true(log_reader_catch_up(r, 5));
	read_more(r, &b);
	assert_true(str_has_suffix(words(&a, b.data, b.size), "13"));
	/* A reader that is too slow loses the oldest. */
	buf_clear(&b);
	write_lines(14, 17);
	for (int i = 3; i < 9; i++) {
		free(rotate_at(i));
		write_lines(100 * i, 100 * i + 3);
		assert_true(log_reader_catch_up(r, 3));
	}
	read_more(r, &b);
	assert_string_equal(
		words(&a, b.data, b.size), "600 601 602 603 700 701 702 703 800 801 802 803");
	log_reader_close(r);
	buf_finish(&b);
	arena_finish(&a);
}

static void instances_that_are_not_kept(void **state)
{
	static const char *const names[] = {"0.log", "0.log.20240102-030405.gz", "1.log", "2.log",
		"2.log.20240102-030405", "10.log", "note.txt", "x.log"};
	char file[120];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(file, sizeof(file), "%s/%s", dir, names[i]);
		fclose(fopen(file, "w"));
	}
	log_files_drop_older(dir, 2);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(file, sizeof(file), "%s/%s", dir, names[i]);
		assert_int_equal(access(file, F_OK) == 0, i >= 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(tails_across_files, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_files, setup, teardown),
		cmocka_unit_test_setup_teardown(followed_while_rotated, setup, teardown),
		cmocka_unit_test_setup_teardown(instances_that_are_not_kept, setup, teardown),
	};

	return cmocka_run_group_tests_name("logs", tests, NULL, NULL);
}
