#include "lib/base/str.h"

static const char alphabet_std[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode64(
	struct arena *a, const unsigned char *p, size_t size, const char *alphabet, bool pad)
{
	char *out, *q;

	if (size > SIZE_MAX / 8)
		abort();
	out = q = arena_alloc(a, (size + 2) / 3 * 4 + 1);
	for (; size >= 3; size -= 3, p += 3) {
		*q++ = alphabet[p[0] >> 2];
		*q++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*q++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*q++ = alphabet[p[2] & 63];
	}
	if (size == 1) {
		*q++ = alphabet[p[0] >> 2];
		*q++ = alphabet[(p[0] & 3) << 4];
	} else if (size == 2) {
		*q++ = alphabet[p[0] >> 2];
		*q++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*q++ = alphabet[(p[1] & 15) << 2];
	}
	for (; pad && size > 0 && size < 3; size++)
		*q++ = '=';
	*q = '\0';
	return out;
}

static int value64(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	if (c == (url ? '_' : '/'))
		return 63;
	return -1;
}

/* `in` is without padding. Line ends are skipped in the padded form, as Go's decoder does, since
 * Secrets are often made with base64(1), which wraps lines. */
static int decode64(struct arena *a, struct str in, bool url, char **ret, size_t *ret_size)
{
	char *out = arena_alloc(a, in.size / 4 * 3 + 4), *q = out;
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < in.size; i++) {
		int v;

		if (!url && (in.p[i] == '\n' || in.p[i] == '\r'))
			continue;
		v = value64(in.p[i], url);
		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)v;
		if (++have == 4) {
			*q++ = (char)(bits >> 16);
			*q++ = (char)(bits >> 8);
			*q++ = (char)bits;
			have = 0;
			bits = 0;
		}
	}
	if (have == 1)
		return -EINVAL;
	if (have >= 2)
		*q++ = (char)(bits >> (have == 2 ? 4 : 10));
	if (have == 3)
		*q++ = (char)(bits >> 2);
	*q = '\0';
	*ret = out;
	*ret_size = (size_t)(q - out);
	return 0;
}

char *base64_encode(struct arena *a, const void *p, size_t size)
{
	return encode64(a, p, size, alphabet_std, true);
}

char *base64url_encode(struct arena *a, const void *p, size_t size)
{
	return encode64(a, p, size, alphabet_url, false);
}

int base64_decode(struct arena *a, struct str in, char **ret, size_t *ret_size)
{
	size_t body = 0, pads = 0, size = in.size;

	for (size_t i = 0; i < in.size; i++) {
		char c = in.p[i];

		if (c == '\n' || c == '\r')
			continue;
		if (c == '=') {
			if (pads++ == 0)
				size = i;
		} else if (pads) {
			return -EINVAL;
		} else {
			body++;
		}
	}
	if ((body + pads) % 4 != 0 || pads > 2)
		return -EINVAL;
	return decode64(a, (struct str){in.p, size}, false, ret, ret_size);
}

int base64url_decode(struct arena *a, struct str in, char **ret, size_t *ret_size)
{
	return decode64(a, in, true, ret, ret_size);
}

char *hex_encode(struct arena *a, const void *p, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = p;
	char *out = arena_alloc(a, size * 2 + 1);

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[size * 2] = '\0';
	return out;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int percent_decode(struct arena *a, struct str in, bool plus_is_space, char **ret)
{
	char *out = arena_alloc(a, in.size + 1), *q = out;

	for (size_t i = 0; i < in.size; i++) {
		char c = in.p[i];

		if (c == '%') {
			int high, low;

			if (in.size - i < 3)
				return -EINVAL;
			high = hex_value(in.p[i + 1]);
			low = hex_value(in.p[i + 2]);
			if (high < 0 || low < 0)
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			return -EINVAL;
		*q++ = c;
	}
	*q = '\0';
	*ret = out;
	return 0;
}

char *percent_encode(struct arena *a, struct str in)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out, *q;

	if (in.size > SIZE_MAX / 8)
		abort();
	out = q = arena_alloc(a, in.size * 3 + 1);
	for (size_t i = 0; i < in.size; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '.' || c == '_' || c == '~') {
			*q++ = (char)c;
		} else {
			*q++ = '%';
			*q++ = digits[c >> 4];
			*q++ = digits[c & 15];
		}
	}
	*q = '\0';
	return out;
}
