/* export.h - downloads of what a VirtualMachineExport offers, on the API's own port (KubeVirt's
 * export proxy, which virtctl vmexport speaks to):
 *
 *   GET /api/export.kubevirt.io/v1/namespaces/NS/virtualmachineexports/NAME/volumes/VOLUME/disk.img
 *   GET .../disk.img.gz
 *   GET .../virtualmachineexports/NAME/{external,internal}/manifests/{all,secret}
 *
 * with the header "x-kubevirt-export-token: TOKEN" (or a query parameter of that name): what the
 * Secret that the export's status names has as `token`. No other credentials are asked for, or
 * looked at. A disk's bytes come from the agent of the disk's node as they are read. */
#pragma once

#include <stdbool.h>

struct api_request;

bool export_is_path(const char *path);
void export_serve(struct api_request *req); /* answers it */
