/* upload.h - the upload endpoint of data volumes, on the API's own port (CDI's upload proxy, which
 * virtctl image-upload speaks to):
 *
 *   POST UploadTokenRequest                          a token for one claim, good for five minutes
 *   HEAD /v1beta1/upload-async                       200: there is such an endpoint
 *   POST /v1beta1/upload          the bytes          200 once the disk is there
 *   POST /v1beta1/upload-async    the bytes          200 once they have come
 *
 * (and the same below /v1alpha1), with "Authorization: Bearer TOKEN" and a Content-Length, by
 * HTTP/1.1 or HTTP/2. The bytes go to the agent of the claim's node as they come. */
#pragma once

#include <stdbool.h>

struct api;
struct api_request;
struct field_errors;
struct http_request;
struct json;

/* The path is one of the above. */
bool upload_is_path(const char *path);
/* For http_server_options.takes_body. */
bool upload_takes_body(const struct http_request *http);
/* Answers it. */
void upload_serve(struct api *api, struct http_request *http);
/* Answer of an UploadTokenRequest, see review.c. */
int upload_token(struct api_request *req, struct json *doc, struct field_errors *errors);
