/* vec.h - growable array of any type: struct { T *items; size_t count, room; } and macros. */
#pragma once

#include "lib/base/util.h"

#define VEC(T)                                                                                     \
	struct {                                                                                   \
		T *items;                                                                          \
		size_t count, room;                                                                \
	}

#define VEC_PUSH(v, item)                                                                          \
	do {                                                                                       \
		if ((v)->count == (v)->room) {                                                     \
			(v)->room = (v)->room ? (v)->room * 2 : 8;                                 \
			(v)->items = xrealloc((v)->items, (v)->room * sizeof(*(v)->items));        \
		}                                                                                  \
		(v)->items[(v)->count++] = (item);                                                 \
	} while (0)

/* Removes item i and keeps the order of the rest. */
#define VEC_REMOVE(v, i)                                                                           \
	do {                                                                                       \
		memmove(&(v)->items[i], &(v)->items[(i) + 1],                                      \
			((v)->count - (i)-1) * sizeof(*(v)->items));                               \
		(v)->count--;                                                                      \
	} while (0)

#define VEC_FINISH(v)                                                                              \
	do {                                                                                       \
		free((v)->items);                                                                  \
		(v)->items = NULL;                                                                 \
		(v)->count = (v)->room = 0;                                                        \
	} while (0)
