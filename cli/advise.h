/* advise.h - `hanok advise`: which workloads would be better off on the other side. */
#pragma once

int advise_main(int argc, char **argv);
