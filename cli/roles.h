/* roles.h - the entry points of the binary. Each gets its own name as argv[0] and returns the exit
 * code: 0 ok, 1 failed, 2 usage. */
#pragma once

int server_main(int argc, char **argv);
int node_main(int argc, char **argv);
int netd_main(int argc, char **argv);
int confine_main(int argc, char **argv);
int nfs_main(int argc, char **argv);
int up_main(int argc, char **argv);
int kubeconfig_main(int argc, char **argv);
int backup_main(int argc, char **argv);
int restore_main(int argc, char **argv);
int image_main(int argc, char **argv);
int virt_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int advise_main(int argc, char **argv);
