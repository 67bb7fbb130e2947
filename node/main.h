/* main.h - the role `hanok node`. */
#pragma once

int node_main(int argc, char **argv);
