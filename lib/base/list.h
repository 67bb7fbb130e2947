/* list.h - intrusive doubly linked list. A head points at itself when empty. */
#pragma once

#include "lib/base/util.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Puts `item` at the end of the list that `head` heads. */
static inline void list_append(struct list *head, struct list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

/* Takes the item out and leaves it self-linked, so removing twice is harmless. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* The current item may be removed in the body. */
#define LIST_FOR_EACH(it, head, type, member)                                                      \
	for (type *it = CONTAINER_OF((head)->next, type, member),                                  \
		  *_next_##it = CONTAINER_OF(it->member.next, type, member);                       \
		&it->member != (head);                                                             \
		it = _next_##it, _next_##it = CONTAINER_OF(it->member.next, type, member))
