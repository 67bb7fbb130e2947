#include "lib/json/json_internal.h"

#include <math.h>
#include <stdio.h>

void json_write_string(struct buf *out, const char *s, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	char *q;

	buf_reserve(out, size + 2);
	q = out->data + out->size;
	*q++ = '"';
	for (;;) {
		size_t run = json_plain_run(s, size);
		unsigned char c;
		char letter = 0;

		memcpy(q, s, run);
		q += run;
		s += run;
		size -= run;
		if (!size)
			break;
		/* Room for the rest, this escape and the closing quote. */
		out->size = (size_t)(q - out->data);
		buf_reserve(out, size + 7);
		q = out->data + out->size;
		c = (unsigned char)*s++;
		size--;
		switch (c) {
		case '"':
		case '\\':
			letter = (char)c;
			break;
		case '\b':
			letter = 'b';
			break;
		case '\f':
			letter = 'f';
			break;
		case '\n':
			letter = 'n';
			break;
		case '\r':
			letter = 'r';
			break;
		case '\t':
			letter = 't';
			break;
		}
		*q++ = '\\';
		if (letter) {
			*q++ = letter;
		} else {
			*q++ = 'u';
			*q++ = '0';
			*q++ = '0';
			*q++ = hex[c >> 4];
			*q++ = hex[c & 15];
		}
	}
	*q++ = '"';
	*q = '\0';
	out->size = (size_t)(q - out->data);
}

static void write_int(struct buf *out, int64_t i)
{
	char room[24], *end = room + sizeof(room), *q = end;
	uint64_t n = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;

	do
		*--q = (char)('0' + n % 10);
	while (n /= 10);
	if (i < 0)
		*--q = '-';
	buf_add(out, q, (size_t)(end - q));
}

/* d > 0 and finite. Fills at most 17 significant digits, without zeros at the end, and the power
 * of ten of the first one. */
static int shortest_digits(double d, char digits[18], int *ret_exponent)
{
	char text[32];
	int precision = 15, count = 0;

	/* Any 15 digits survive the way through a normal double, so its shortest form is those 15
	 * without their trailing zeros, if they read back; subnormals have fewer digits. */
	if (d < 0x1p-1022)
		precision = 1;
	for (; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision - 1, d);
		if (strtod(text, NULL) == d)
			break;
	}
	for (const char *p = text; *p != 'e'; p++)
		if (*p != '.')
			digits[count++] = *p;
	while (count > 1 && digits[count - 1] == '0')
		count--;
	*ret_exponent = atoi(strchr(text, 'e') + 1);
	return count;
}

/* As Go's encoding/json: plain digits from 1e-6 to below 1e21, else an exponent without leading
 * zeros. What JSON has no text for becomes null. */
void json_write_double(struct buf *out, double d)
{
	char digits[18];
	int count, exponent;

	if (!isfinite(d)) {
		buf_add_str(out, "null");
		return;
	}
	if (signbit(d))
		buf_add_char(out, '-');
	d = fabs(d);
	if (d == 0) {
		buf_add_char(out, '0');
		return;
	}
	count = shortest_digits(d, digits, &exponent);
	if (d < 1e-6 || d >= 1e21) {
		buf_add_char(out, digits[0]);
		if (count > 1) {
			buf_add_char(out, '.');
			buf_add(out, digits + 1, (size_t)count - 1);
		}
		buf_printf(out, "e%c%d", exponent < 0 ? '-' : '+', abs(exponent));
	} else if (exponent < 0) {
		buf_add_str(out, "0.");
		for (int i = -1; i > exponent; i--)
			buf_add_char(out, '0');
		buf_add(out, digits, (size_t)count);
	} else {
		for (int i = 0; i <= exponent || i < count; i++) {
			if (i == exponent + 1)
				buf_add_char(out, '.');
			buf_add_char(out, i < count ? digits[i] : '0');
		}
	}
}

static void new_line(struct buf *out, int level)
{
	buf_add_char(out, '\n');
	for (int i = 0; i < level; i++)
		buf_add(out, "  ", 2);
}

static void write_scalar(struct buf *out, const struct json *v)
{
	switch (v->type) {
	case JSON_BOOL:
		if (v->b)
			buf_add(out, "true", 4);
		else
			buf_add(out, "false", 5);
		return;
	case JSON_INT:
		write_int(out, v->i);
		return;
	case JSON_DOUBLE:
		json_write_double(out, v->d);
		return;
	case JSON_STRING:
		json_write_string(out, v->s, v->count);
		return;
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		buf_add(out, "null", 4);
		return;
	}
}

static void write_pretty(struct buf *out, const struct json *v, int level)
{
	int inner = level + 1;

	if (v->type == JSON_ARRAY) {
		buf_add_char(out, '[');
		for (uint32_t i = 0; i < v->count; i++) {
			if (i)
				buf_add_char(out, ',');
			new_line(out, inner);
			write_pretty(out, v->items[i], inner);
		}
		if (v->count)
			new_line(out, level);
		buf_add_char(out, ']');
	} else if (v->type == JSON_OBJECT) {
		buf_add_char(out, '{');
		for (uint32_t i = 0; i < v->count; i++) {
			const struct json_member *m = &v->members[i];

			if (i)
				buf_add_char(out, ',');
			new_line(out, inner);
			json_write_string(out, m->name, m->name_size);
			buf_add(out, ": ", 2);
			write_pretty(out, m->value, inner);
		}
		if (v->count)
			new_line(out, level);
		buf_add_char(out, '}');
	} else {
		write_scalar(out, v);
	}
}

/* ---- compact ----
 *
 * What every write and answer goes through: room is asked for once a member, and small values are
 * put behind their names without a call. */

static char *reserve(struct buf *out, size_t more)
{
	if (more >= out->room - out->size)
		buf_reserve(out, more);
	return out->data + out->size;
}

static void write_compact(struct buf *out, const struct json *v);

static void write_member(struct buf *out, const struct json_member *m, bool comma)
{
	const struct json *v = m->value;
	char *q = reserve(out, (size_t)m->name_size + 12);

	if (comma)
		*q++ = ',';
	if (json_plain_run(m->name, m->name_size) == m->name_size) {
		*q++ = '"';
		memcpy(q, m->name, m->name_size);
		q += m->name_size;
		*q++ = '"';
	} else {
		out->size = (size_t)(q - out->data);
		json_write_string(out, m->name, m->name_size);
		q = reserve(out, 12);
	}
	*q++ = ':';
	if (v->type == JSON_OBJECT && v->count == 0) {
		*q++ = '{';
		*q++ = '}';
		out->size = (size_t)(q - out->data);
		return;
	}
	out->size = (size_t)(q - out->data);
	write_compact(out, v);
}

static void write_compact(struct buf *out, const struct json *v)
{
	if (v->type == JSON_OBJECT) {
		*reserve(out, 1) = '{';
		out->size++;
		for (uint32_t i = 0; i < v->count; i++)
			write_member(out, &v->members[i], i > 0);
		*reserve(out, 1) = '}';
		out->size++;
	} else if (v->type == JSON_ARRAY) {
		*reserve(out, 1) = '[';
		out->size++;
		for (uint32_t i = 0; i < v->count; i++) {
			if (i) {
				*reserve(out, 1) = ',';
				out->size++;
			}
			write_compact(out, v->items[i]);
		}
		*reserve(out, 1) = ']';
		out->size++;
	} else {
		write_scalar(out, v);
	}
}

void json_write(struct buf *out, const struct json *v)
{
	write_compact(out, v);
	buf_reserve(out, 1);
	out->data[out->size] = '\0';
}

void json_write_pretty(struct buf *out, const struct json *v)
{
	write_pretty(out, v, 0);
}

char *json_text(struct arena *a, const struct json *v)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	json_write(&out, v);
	return arena_memdup(a, out.data, out.size);
}
