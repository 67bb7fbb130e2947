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

/* level < 0: compact. */
static void write_value(struct buf *out, const struct json *v, int level)
{
	int inner = level < 0 ? level : level + 1;

	switch (v->type) {
	case JSON_NULL:
		buf_add(out, "null", 4);
		break;
	case JSON_BOOL:
		if (v->b)
			buf_add(out, "true", 4);
		else
			buf_add(out, "false", 5);
		break;
	case JSON_INT:
		write_int(out, v->i);
		break;
	case JSON_DOUBLE:
		json_write_double(out, v->d);
		break;
	case JSON_STRING:
		json_write_string(out, v->s, v->count);
		break;
	case JSON_ARRAY:
		buf_add_char(out, '[');
		for (uint32_t i = 0; i < v->count; i++) {
			if (i)
				buf_add_char(out, ',');
			if (level >= 0)
				new_line(out, inner);
			write_value(out, v->items[i], inner);
		}
		if (level >= 0 && v->count)
			new_line(out, level);
		buf_add_char(out, ']');
		break;
	case JSON_OBJECT:
		buf_add_char(out, '{');
		for (uint32_t i = 0; i < v->count; i++) {
			const struct json_member *m = &v->members[i];

			if (i)
				buf_add_char(out, ',');
			if (level >= 0)
				new_line(out, inner);
			json_write_string(out, m->name, m->name_size);
			buf_add_char(out, ':');
			if (level >= 0)
				buf_add_char(out, ' ');
			write_value(out, m->value, inner);
		}
		if (level >= 0 && v->count)
			new_line(out, level);
		buf_add_char(out, '}');
		break;
	}
}

void json_write(struct buf *out, const struct json *v)
{
	write_value(out, v, -1);
}

void json_write_pretty(struct buf *out, const struct json *v)
{
	write_value(out, v, 0);
}

char *json_text(struct arena *a, const struct json *v)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	json_write(&out, v);
	return arena_memdup(a, out.data, out.size);
}
