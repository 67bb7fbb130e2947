/* auth_internal.h - what the files of authentication share. */
#pragma once

#include "lib/base/table.h"
#include "server/api/auth/auth.h"

struct auth {
	struct rbac *rbac;
	struct tokens *tokens;	    /* NULL = none are issued or taken */
	struct table static_tokens; /* token -> struct api_user * */
	const struct kind *secrets;
	char *ca_cert, *keys_url; /* NULL = none */
};

/* The token file: CSV of token, user, uid and optionally groups in one quoted field. */
int static_tokens_parse(const char *text, struct table *ret, struct err *err) _must_check_;
void static_tokens_finish(struct table *t);

/* Bootstrap tokens: "abcdef.0123456789abcdef", each a Secret in kube-system. */
bool bootstrap_token_looks_so(const char *token);
int bootstrap_token_user(struct api *api, struct arena *a, const char *token, struct api_user *ret,
	struct err *err) _must_check_;

/* Impersonate-* headers: becomes who is named there, if that is allowed. */
int impersonate(struct api_request *req) _must_check_;
