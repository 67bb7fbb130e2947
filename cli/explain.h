/* explain.h - `hanok explain placement APP`: why an application runs where it runs. */
#pragma once

int explain_main(int argc, char **argv);
