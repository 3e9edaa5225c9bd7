/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Option strings as QEMU users type them: "user,id=n0,hostfwd=tcp::2222-:22".
 *
 * Pairs separated by commas; ",," is a comma inside a value. A first part without '=' is the value
 * of the implied key; later ones mean on ("readonly"), or off with "no" before them ("nowait").
 * Keys may repeat. Every key must be asked for before options_check(): what nobody asked about is
 * a user's mistake.
 */
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H

#include "base/err.h"

struct option {
	char *key, *value;
	bool asked;
};

struct options {
	const char *what; /* "-netdev", for error sentences */
	struct option *list;
	unsigned count;
};

/* `implied`: the key of a leading bare value, NULL if there is none. */
int options_parse(struct options *options, const char *what, const char *text,
		  const char *implied, struct err *err);
void options_free(struct options *options);
/* NULL when not given; the last one given wins. */
const char *options_get(struct options *options, const char *key);
/* The n-th of a repeated key. */
const char *options_get_nth(struct options *options, const char *key, unsigned n);
int options_bool(struct options *options, const char *key, bool absent, bool *value,
		 struct err *err);
int options_number(struct options *options, const char *key, uint64_t absent, uint64_t *value,
		   struct err *err);
/* With k, M, G, T suffixes; a bare number counts `unit` bytes. */
int options_size(struct options *options, const char *key, uint64_t absent, uint64_t unit,
		 uint64_t *value, struct err *err);
int parse_size(const char *text, uint64_t unit, uint64_t *value); /* 0 or -EINVAL */
/* Names the first key that nobody asked about. */
int options_check(const struct options *options, struct err *err);
/* Those nobody asked about, as "key=value,..." with commas doubled: for a device's settings. */
char *options_rest(const struct options *options);

#endif
