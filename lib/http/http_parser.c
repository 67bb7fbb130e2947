#include "lib/http/http_parser.h"

#include <strings.h>

#define CHUNK_LINE_MAX_BYTES 256u
#define TRAILER_MAX_BYTES (8u << 10)
#define LENGTH_MAX_DIGITS 18

/*  START --> HEAD --> BODY_NONE ------------------------------------------> DONE
 *   ^|         +----> BODY_LENGTH ------------------------------------------^
 *   |v         +----> BODY_UNTIL_EOF ---- eof ------------------------------^
 *  START_LF    +----> CHUNK_SIZE -> [CHUNK_EXTENSION] -> CHUNK_SIZE_LF      |
 *                        ^                                 |    | size 0    |
 *                     CHUNK_LF <- CHUNK_CR <- CHUNK_DATA <-+    +-> TRAILER-+
 * BAD from anywhere. */
enum parser_state {
	PARSER_START,
	PARSER_START_LF,
	PARSER_HEAD,
	PARSER_BODY_NONE,
	PARSER_BODY_LENGTH,
	PARSER_BODY_UNTIL_EOF,
	PARSER_CHUNK_SIZE,
	PARSER_CHUNK_EXTENSION,
	PARSER_CHUNK_SIZE_LF,
	PARSER_CHUNK_DATA,
	PARSER_CHUNK_CR,
	PARSER_CHUNK_LF,
	PARSER_TRAILER,
	PARSER_DONE,
	PARSER_BAD,
};

#define RANGE(a, b) [a... b] = 1

/* RFC 9110 5.6.2: tchar. */
static const unsigned char is_token[256] = {
	RANGE('a', 'z'),
	RANGE('A', 'Z'),
	RANGE('0', '9'),
	['!'] = 1,
	['#'] = 1,
	['$'] = 1,
	['%'] = 1,
	['&'] = 1,
	['\''] = 1,
	['*'] = 1,
	['+'] = 1,
	['-'] = 1,
	['.'] = 1,
	['^'] = 1,
	['_'] = 1,
	['`'] = 1,
	['|'] = 1,
	['~'] = 1,
};

/* RFC 9110 5.5: field-vchar, SP, HTAB, obs-text. */
static const unsigned char is_value[256] = {['\t'] = 1, RANGE(' ', '~'), RANGE(0x80, 0xff)};

/* Visible ASCII without '#': no fragment is ever sent. */
static const unsigned char is_target[256] = {RANGE('!', '"'), RANGE('$', '~')};

void http_parser_init(struct http_parser *p, bool response, struct arena *a)
{
	struct buf head = p->head;
	*p = (struct http_parser){.response = response, .arena = a};
	p->head = head;
	buf_clear(&p->head);
}

void http_parser_finish(struct http_parser *p)
{
	buf_finish(&p->head);
}

static int bad(struct http_parser *p, int status, const char *reason)
{
	p->state = PARSER_BAD;
	p->status = status;
	p->reason = reason;
	return -EBADMSG;
}

/* The head */

static char *trim(char *s, char *end)
{
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = 0;
	return s;
}

bool http_list_has(const char *list, const char *token)
{
	size_t size = strlen(token);
	while (list && *list) {
		list += strspn(list, " \t,");
		size_t n = strcspn(list, ",");
		size_t bare = n;
		while (bare > 0 && (list[bare - 1] == ' ' || list[bare - 1] == '\t'))
			bare--;
		if (bare == size && strncasecmp(list, token, size) == 0)
			return true;
		list += n;
	}
	return false;
}

static bool parse_length(const char *s, uint64_t *ret)
{
	size_t size = strlen(s);
	uint64_t n = 0;
	if (size == 0 || size > LENGTH_MAX_DIGITS)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (uint64_t)(*s - '0');
	}
	*ret = n;
	return true;
}

/* What the headers that govern framing have said so far. */
struct framing {
	unsigned host_count;
	bool close, keep_alive, upgrade_token, transfer_encoding;
	const char *upgrade;
};

static int note_header(
	struct http_parser *p, struct framing *f, const char *name, const char *value)
{
	switch (strlen(name)) {
	case 4:
		if (strcasecmp(name, "Host") == 0)
			f->host_count++;
		break;
	case 6:
		if (strcasecmp(name, "Expect") == 0 && !p->response) {
			if (strcasecmp(value, "100-continue") != 0)
				return bad(p, 417, "unknown expectation");
			p->expect_continue = true;
		}
		break;
	case 7:
		if (strcasecmp(name, "Upgrade") == 0 && !f->upgrade)
			f->upgrade = value;
		break;
	case 10:
		if (strcasecmp(name, "Connection") == 0) {
			f->close |= http_list_has(value, "close");
			f->keep_alive |= http_list_has(value, "keep-alive");
			f->upgrade_token |= http_list_has(value, "upgrade");
		}
		break;
	case 14:
		if (strcasecmp(name, "Content-Length") == 0) {
			if (p->has_length)
				return bad(p, 400, "more than one Content-Length");
			if (!parse_length(value, &p->content_length))
				return bad(p, 400, "malformed Content-Length");
			p->has_length = true;
		}
		break;
	case 17:
		if (strcasecmp(name, "Transfer-Encoding") == 0) {
			if (f->transfer_encoding)
				return bad(p, 400, "more than one Transfer-Encoding");
			f->transfer_encoding = true;
			if (strcasecmp(value, "chunked") != 0)
				return bad(p, 501, "unknown Transfer-Encoding");
			p->chunked = true;
		}
		break;
	default:
		break;
	}
	return 0;
}

/* Cuts one header line, NUL-terminated at `end`, into name and value. */
static int parse_header_line(struct http_parser *p, char *line, char *end, struct http_header *ret)
{
	if (*line == ' ' || *line == '\t')
		return bad(p, 400, "folded header line");
	char *c = line;
	while (is_token[(unsigned char)*c])
		c++;
	if (c == line || *c != ':')
		return bad(p, 400, "malformed header name");
	*c++ = 0;
	for (char *v = c; v < end; v++)
		if (!is_value[(unsigned char)*v])
			return bad(p, 400, "control character in a header");
	ret->name = line;
	ret->value = trim(c, end);
	return 0;
}

static int parse_version(struct http_parser *p, const char *s, size_t size)
{
	if (size != 8 || memcmp(s, "HTTP/", 5) != 0 || s[5] < '0' || s[5] > '9' || s[6] != '.' ||
		s[7] < '0' || s[7] > '9')
		return bad(p, 400, "malformed HTTP version");
	if (s[5] != '1' || s[7] > '1')
		return bad(p, 505, "HTTP version not supported");
	p->http10 = s[7] == '0';
	return 0;
}

bool http_target_valid(const char *target)
{
	while (is_target[(unsigned char)*target])
		target++;
	return !*target;
}

static int parse_request_line(struct http_parser *p, char *line, char *end)
{
	char *c = line;
	while (is_token[(unsigned char)*c])
		c++;
	if (c == line || *c != ' ')
		return bad(p, 400, "malformed request line");
	*c++ = 0;
	char *target = c;
	while (is_target[(unsigned char)*c])
		c++;
	if (c == target || *c != ' ')
		return bad(p, 400, "malformed request target");
	*c++ = 0;
	p->method = line;
	p->target = target;
	return parse_version(p, c, (size_t)(end - c));
}

static int parse_status_line(struct http_parser *p, char *line, char *end)
{
	if (end - line < 12 || line[8] != ' ')
		return bad(p, 502, "malformed status line");
	int r = parse_version(p, line, 8);
	if (r < 0)
		return r;
	int status = 0;
	for (int i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return bad(p, 502, "malformed status line");
		status = status * 10 + (line[i] - '0');
	}
	if (status < 100 || status > 599 || (line[12] != ' ' && line + 12 != end))
		return bad(p, 502, "malformed status line");
	for (char *c = line + 12; c < end; c++)
		if (!is_value[(unsigned char)*c])
			return bad(p, 502, "control character in the status line");
	p->status = status;
	return 0;
}

static int decide_framing(struct http_parser *p, const struct framing *f)
{
	if (p->chunked && p->has_length)
		return bad(p, 400, "both Content-Length and Transfer-Encoding");
	if (p->chunked && p->http10)
		return bad(p, 400, "Transfer-Encoding in HTTP/1.0");
	if (!p->response && (f->host_count > 1 || (f->host_count == 0 && !p->http10)))
		return bad(p, 400, "exactly one Host header is needed");
	p->keep_alive = !f->close && (!p->http10 || f->keep_alive);
	if (f->upgrade_token)
		p->upgrade = f->upgrade;

	bool bodiless = p->response && (p->answers_head || p->status < 200 || p->status == 204 ||
					       p->status == 304);
	p->state = PARSER_BODY_NONE;
	if (bodiless)
		return 0;
	if (p->chunked) {
		p->state = PARSER_CHUNK_SIZE;
		p->section_size = 0;
		p->digit_seen = false;
		p->left = 0;
	} else if (p->has_length && p->content_length > 0) {
		p->state = PARSER_BODY_LENGTH;
		p->left = p->content_length;
	} else if (p->response && !p->has_length) {
		p->state = PARSER_BODY_UNTIL_EOF;
		p->keep_alive = false;
	}
	return 0;
}

/* `head` is ours to write into: all lines of the head, the empty one too, and a NUL. Each line is
 * known to end in CR LF. */
static int parse_head(struct http_parser *p, char *head)
{
	struct framing f = {0};
	if (p->line_count < 2) /* two empty lines before a request line */
		return bad(p, 400, "malformed request line");
	size_t room = p->line_count - 2; /* without the first line and the empty one */
	if (room > HTTP_HEADER_MAX_COUNT)
		return bad(p, 431, "too many headers");
	p->headers = arena_alloc(p->arena, MAX(room, 1u) * sizeof(*p->headers));
	p->header_count = 0;
	char *line = head;
	for (size_t i = 0; i <= room; i++) {
		/* A NUL inside ends a string early, but never this search. */
		char *end = (char *)rawmemchr(line, '\n') - 1;
		char *next = end + 2;
		*end = 0;
		int r;
		if (i == 0) {
			r = p->response ? parse_status_line(p, line, end)
					: parse_request_line(p, line, end);
		} else {
			struct http_header *h = &p->headers[p->header_count];
			r = parse_header_line(p, line, end, h);
			if (r == 0) {
				p->header_count++;
				r = note_header(p, &f, h->name, h->value);
			}
		}
		if (r < 0)
			return r;
		line = next;
	}
	return decide_framing(p, &f);
}

/* Looks for the end of the head; *ret_done when it ends in these bytes. Returns bytes looked at. */
static size_t scan_head(struct http_parser *p, const char *data, size_t size, bool *ret_done)
{
	size_t at = 0;
	while (at < size) {
		const char *nl = memchr(data + at, '\n', size - at);
		if (!nl) {
			p->line_size += size - at;
			p->last_was_cr = data[size - 1] == '\r';
			return size;
		}
		size_t n = (size_t)(nl - (data + at));
		bool cr = n > 0 ? nl[-1] == '\r' : p->line_size > 0 && p->last_was_cr;
		if (!cr) {
			bad(p, 400, "bare line feed");
			return at;
		}
		p->line_count++;
		size_t line_size = p->line_size + n - 1;
		p->line_size = 0;
		at += n + 1;
		if (line_size == 0) {
			*ret_done = true;
			return at;
		}
	}
	return at;
}

static size_t feed_head(struct http_parser *p, const char *data, size_t size, bool *ret_done)
{
	size_t room = HTTP_HEADER_MAX_BYTES - p->section_size;
	bool cut = size > room;
	size_t n = scan_head(p, data, cut ? room : size, ret_done);
	if (p->state == PARSER_BAD)
		return 0;
	p->section_size += n;
	if (!*ret_done) {
		if (cut || p->section_size == HTTP_HEADER_MAX_BYTES) {
			bad(p, 431, "header too large");
			return 0;
		}
		buf_add(&p->head, data, n);
		return n;
	}
	char *head;
	if (p->head.size == 0) {
		head = arena_memdup(p->arena, data, n);
	} else {
		buf_add(&p->head, data, n);
		head = arena_memdup(p->arena, p->head.data, p->head.size);
		buf_finish(&p->head);
	}
	(void)parse_head(p, head);
	return n;
}

/* Chunks */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One byte of a line that says a chunk's size. */
static void feed_chunk_size(struct http_parser *p, char c)
{
	int digit = hex_digit(c);
	if (digit >= 0) {
		if (p->left >> 56) {
			bad(p, 400, "chunk size too large");
			return;
		}
		p->left = p->left << 4 | (uint64_t)digit;
		p->digit_seen = true;
	} else if (!p->digit_seen) {
		bad(p, 400, "malformed chunk size");
	} else if (c == ';') {
		p->state = PARSER_CHUNK_EXTENSION;
	} else if (c == '\r') {
		p->state = PARSER_CHUNK_SIZE_LF;
	} else {
		bad(p, 400, "malformed chunk size");
	}
}

static void feed_chunk_extension(struct http_parser *p, char c)
{
	if (c == '\r')
		p->state = PARSER_CHUNK_SIZE_LF;
	else if (!is_value[(unsigned char)c])
		bad(p, 400, "malformed chunk extension");
}

static void chunk_size_done(struct http_parser *p)
{
	p->section_size = 0;
	p->digit_seen = false;
	p->state = p->left > 0 ? PARSER_CHUNK_DATA : PARSER_TRAILER;
}

/* Trailer lines are checked as headers are, and dropped. */
static void feed_trailer(struct http_parser *p, char c)
{
	buf_add_char(&p->head, c);
	if (++p->section_size > TRAILER_MAX_BYTES) {
		bad(p, 431, "trailer too large");
		return;
	}
	if (c != '\n')
		return;
	struct http_header h;
	size_t n = p->head.size;
	if (n < 2 || p->head.data[n - 2] != '\r') {
		bad(p, 400, "bare line feed");
		return;
	}
	if (n == 2) {
		p->state = PARSER_DONE;
	} else {
		p->head.data[n - 2] = 0;
		if (parse_header_line(p, p->head.data, p->head.data + n - 2, &h) < 0)
			return;
	}
	buf_clear(&p->head);
}

/* One byte in any of the states that go byte by byte. */
static void feed_byte(struct http_parser *p, char c)
{
	switch ((enum parser_state)p->state) {
	case PARSER_START_LF:
		if (c != '\n')
			bad(p, 400, "malformed request line");
		else
			p->state = PARSER_HEAD;
		return;
	case PARSER_CHUNK_SIZE:
	case PARSER_CHUNK_EXTENSION:
		if (++p->section_size > CHUNK_LINE_MAX_BYTES)
			bad(p, 400, "chunk line too long");
		else if (p->state == PARSER_CHUNK_SIZE)
			feed_chunk_size(p, c);
		else
			feed_chunk_extension(p, c);
		return;
	case PARSER_CHUNK_SIZE_LF:
		if (c != '\n')
			bad(p, 400, "malformed chunk line");
		else
			chunk_size_done(p);
		return;
	case PARSER_CHUNK_CR:
		if (c != '\r')
			bad(p, 400, "chunk longer than its size");
		else
			p->state = PARSER_CHUNK_LF;
		return;
	case PARSER_CHUNK_LF:
		if (c != '\n')
			bad(p, 400, "chunk longer than its size");
		else
			p->state = PARSER_CHUNK_SIZE;
		return;
	case PARSER_TRAILER:
		feed_trailer(p, c);
		return;
	default:
		abort();
	}
}

static size_t feed_body(struct http_parser *p, const char *data, size_t size, struct str *ret_piece)
{
	size_t n = size;
	if (p->state != PARSER_BODY_UNTIL_EOF) {
		n = (size_t)MIN((uint64_t)size, p->left);
		p->left -= n;
		if (p->left == 0)
			p->state =
				p->state == PARSER_CHUNK_DATA ? PARSER_CHUNK_CR : PARSER_BODY_NONE;
	}
	*ret_piece = (struct str){data, n};
	return n;
}

static void feed_start(struct http_parser *p, char c, size_t *used)
{
	p->state = PARSER_HEAD;
	if (c == '\r' && !p->response) { /* one empty line is forgiven: RFC 9112 2.2 */
		p->state = PARSER_START_LF;
		(*used)++;
	} else if (!is_token[(unsigned char)c]) {
		bad(p, 400,
			"not HTTP"); /* such as a TLS handshake: there may never be a line end */
	}
}

size_t http_parser_feed(struct http_parser *p, const char *data, size_t size,
	enum http_event *ret_event, struct str *ret_piece)
{
	size_t used = 0;
	*ret_piece = (struct str){NULL, 0};
	for (;;) {
		bool head_done = false;
		switch ((enum parser_state)p->state) {
		case PARSER_BAD:
			*ret_event = HTTP_BAD;
			return used;
		case PARSER_BODY_NONE:
			p->state = PARSER_DONE;
			continue;
		case PARSER_DONE:
			*ret_event = HTTP_END;
			return used;
		default:
			break;
		}
		if (used == size) {
			*ret_event = HTTP_NEED_MORE;
			return used;
		}
		switch ((enum parser_state)p->state) {
		case PARSER_START:
			feed_start(p, data[used], &used);
			break;
		case PARSER_HEAD:
			used += feed_head(p, data + used, size - used, &head_done);
			if (head_done && p->state != PARSER_BAD) {
				*ret_event = HTTP_HEAD;
				return used;
			}
			break;
		case PARSER_BODY_LENGTH:
		case PARSER_BODY_UNTIL_EOF:
		case PARSER_CHUNK_DATA:
			used += feed_body(p, data + used, size - used, ret_piece);
			*ret_event = HTTP_BODY;
			return used;
		default:
			feed_byte(p, data[used++]);
			break;
		}
	}
}

enum http_event http_parser_eof(struct http_parser *p)
{
	switch ((enum parser_state)p->state) {
	case PARSER_START:
	case PARSER_START_LF:
		return HTTP_NEED_MORE;
	case PARSER_BODY_NONE:
	case PARSER_BODY_UNTIL_EOF:
	case PARSER_DONE:
		p->state = PARSER_DONE;
		return HTTP_END;
	case PARSER_BAD:
		return HTTP_BAD;
	default:
		bad(p, 400, "the message ended early");
		return HTTP_BAD;
	}
}

const char *http_headers_get(const struct http_header *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return headers[i].value;
	return NULL;
}

const char *http_reason(int status)
{
	switch (status) {
	case 100:
		return "Continue";
	case 101:
		return "Switching Protocols";
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 301:
		return "Moved Permanently";
	case 302:
		return "Found";
	case 304:
		return "Not Modified";
	case 307:
		return "Temporary Redirect";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 406:
		return "Not Acceptable";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 410:
		return "Gone";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 416:
		return "Range Not Satisfiable";
	case 417:
		return "Expectation Failed";
	case 422:
		return "Unprocessable Entity";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "";
	}
}
