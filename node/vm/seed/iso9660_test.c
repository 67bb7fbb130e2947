/* ISO images, read back by their own tables: each file by its plain, its Rock Ridge and its Joliet
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/vm/seed/iso9660.h"
#include "lib/base/str.h"

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

/* "PLAIN|ROCK|MODE=CONTENT" of what is below a directory, one a line. */
static void list(const struct buf *image, bool joliet, uint32_t extent, uint32_t size,
	const char *above, struct buf *out)
{
	const uint8_t *all = (const uint8_t *)image->data;

	assert_true((size_t)extent * 2048 + size <= image->size);
	for (uint32_t at = 0; at < size;) {
		const uint8_t *r = all + (size_t)extent * 2048 + at;
		char name[300] = "", rock[300] = "";
		unsigned mode = 0;
		uint32_t where, bytes;

		if (!r[0]) { /* nothing more in this sector */
			at = (at / 2048 + 1) * 2048;
			continue;
		}
		assert_true(at / 2048 == (at + r[0] - 1u) / 2048);
		where = le32(r + 2);
		bytes = le32(r + 10);
		assert_int_equal(where, be32(r + 6));
		assert_int_equal(bytes, be32(r + 14));
		assert_true((size_t)where * 2048 + bytes <= image->size);
		at += r[0];
		if (r[32] == 1 && r[33] <= 1)
			continue;
		for (unsigned i = 0; i < r[32]; i++) {
			if (joliet && i % 2 == 0)
				assert_int_equal(r[33 + i], 0);
			else
				snprintf(name + strlen(name), 2, "%c", r[33 + i]);
		}
		for (const uint8_t *s = r + 33 + r[32] + (r[32] % 2 == 0);
			!joliet && s + 4 <= r + r[0]; s += s[2]) {
			if (!s[2])
				break;
			if (!memcmp(s, "NM", 2))
				snprintf(rock, sizeof(rock), "%.*s", s[2] - 5, s + 5);
			if (!memcmp(s, "PX", 2))
				mode = le32(s + 4);
		}
		if (r[25] & 2) {
			char path[700];

			snprintf(path, sizeof(path), "%s%s/", above, joliet ? name : rock);
			list(image, joliet, where, bytes, path, out);
		} else {
			buf_printf(out, "%s%s|%s|%o=%.*s\n", above, name, rock, mode, (int)bytes,
				all + (size_t)where * 2048);
		}
	}
}

static void read_back(const struct buf *image, bool joliet, struct buf *out)
{
	const uint8_t *d = (const uint8_t *)image->data + (joliet ? 17 : 16) * 2048;

	assert_memory_equal(d + 1, "CD001", 5);
	assert_int_equal(le32(d + 80) * 2048, image->size);
	list(image, joliet, le32(d + 156 + 2), le32(d + 156 + 10), "", out);
}

static void files_are_found(void **state)
{
	static const struct iso_file files[] = {
		{"openstack/latest/meta_data.json", "{}", 2},
		{"openstack/latest/user_data", "#!", 2},
		{"user-data", "", 0},
		{"user-date", "b", 1},
		{"network-config", "c", 1},
	};
	struct buf image = BUF_INIT, out = BUF_INIT;

	assert_int_equal(iso9660_write(&image, "config-2", files, ARRAY_LEN(files), 0400,
				 INT64_C(1700000000) * 1000000000, NULL),
		0);
	read_back(&image, false, &out);
	assert_string_equal(out.data, "NETWORK_.;1|network-config|100400=c\n"
				      "openstack/latest/META_DAT.JSO;1|meta_data.json|100400={}\n"
				      "openstack/latest/USER_DAT.;1|user_data|100400=#!\n"
				      "USER_DAT.;1|user-data|100400=\n"
				      "USER_D_1.;1|user-date|100400=b\n");
	buf_clear(&out);
	read_back(&image, true, &out);
	assert_string_equal(out.data, "network-config||0=c\n"
				      "openstack/latest/meta_data.json||0={}\n"
				      "openstack/latest/user_data||0=#!\n"
				      "user-data||0=\n"
				      "user-date||0=b\n");
	buf_finish(&out);
	buf_finish(&image);
}

/* Directories of several sectors, of names that begin alike. */
static void many_files(void **state)
{
	struct iso_file files[300];
	char names[300][160];
	struct buf image = BUF_INIT, out = BUF_INIT;
	size_t lines = 0;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(names[i], sizeof(names[i]), "alike-in-front-%03zu-%0120d", i, 0);
		files[i] = (struct iso_file){names[i], names[i], 3};
	}
	assert_int_equal(iso9660_write(&image, "x", files, ARRAY_LEN(files), 0444, 0, NULL), 0);
	read_back(&image, false, &out);
	for (size_t i = 0; i < out.size; i++)
		lines += out.data[i] == '\n';
	assert_int_equal(lines, 300);
	assert_non_null(strstr(out.data, "ALIKE_IN.;1|alike-in-front-000-"));
	assert_non_null(strstr(out.data, "ALIK_299.;1|alike-in-front-299-"));
	buf_finish(&out);
	buf_finish(&image);
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"", "..", "a/../b", "/a", "a//b", "a b", "1/2/3/4/5/6/7/8"};
	struct buf image = BUF_INIT;
	struct iso_file two[] = {{"a", "", 0}, {"a/b", "", 0}};
	struct err err = ERR_INIT;
	char longest[ISO_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct iso_file f = {bad[i], "", 0};

		assert_int_equal(iso9660_write(&image, "x", &f, 1, 0400, 0, NULL), -EINVAL);
	}
	assert_int_equal(iso9660_write(&image, "x", two, 2, 0400, 0, &err), -EINVAL);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	two[0].path = longest;
	assert_int_equal(iso9660_write(&image, "x", two, 1, 0400, 0, &err), -ENAMETOOLONG);
	two[0] = (struct iso_file){"big", NULL, ISO_SIZE_MAX + 1};
	assert_int_equal(iso9660_write(&image, "x", two, 1, 0400, 0, &err), -E2BIG);
	two[0] = (struct iso_file){"a", "", 0};
	assert_int_equal(iso9660_write(&image, "", two, 1, 0400, 0, &err), -EINVAL);
	assert_int_equal(image.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_found),
		cmocka_unit_test(many_files),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
