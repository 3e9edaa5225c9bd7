/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Field tables: a struct member described once.
 *
 * The same row feeds -device parsing and help, QMP schema, snapshots, migration,
 * statistics and the generated manual.
 */
#ifndef CORE_FIELD_H
#define CORE_FIELD_H

#include "base/err.h"

#include <stdio.h>

struct timer;
struct block;
struct chardev;
struct netdev;
struct audio;

struct mac_address {
	uint8_t byte[6];
};

enum field_role { FIELD_SETTING, FIELD_STATE, FIELD_COUNTER };

enum field_type {
	FIELD_BOOL, FIELD_U8, FIELD_U16, FIELD_U32, FIELD_U64, FIELD_I64,
	FIELD_BYTES,   /* arrays of unsigned integers, saved as they lie */
	FIELD_STRING,  /* char *: settings only, owned by the device */
	FIELD_TIMER,   /* the deadline */
	FIELD_STRUCTS, /* array of structs with a field table of their own: state only */
	FIELD_MAC,
	FIELD_BLOCK,   /* settings that name a back end by id; NULL when not given */
	FIELD_CHARDEV,
	FIELD_NETDEV,
	FIELD_AUDIO,
};

struct field {
	const char *name; /* as the user types it; the end of a table has NULL */
	const char *help;
	enum field_role role;
	enum field_type type;
	size_t offset, size;     /* size: of the whole member */
	uint64_t def, min, max;  /* max 0: whatever the type holds; I64: the magnitude */
	const char *text_def;    /* strings */
	const char *choices;     /* "auto,on,off": the value is the index */
	bool is_size;            /* accepts k, M, G, T suffixes */
	const struct field *sub; /* FIELD_STRUCTS */
	size_t stride;           /* FIELD_STRUCTS: of one element */
	uint32_t since;          /* first state version that carries it; 0: from the start */
};

#define FIELD_TYPE_OF(m)                                                           \
	_Generic((m),                                                              \
		bool: FIELD_BOOL, uint8_t: FIELD_U8, uint16_t: FIELD_U16,          \
		uint32_t: FIELD_U32, uint64_t: FIELD_U64, int64_t: FIELD_I64,      \
		uint8_t *: FIELD_BYTES, uint16_t *: FIELD_BYTES,                   \
		uint32_t *: FIELD_BYTES, uint64_t *: FIELD_BYTES,                  \
		char *: FIELD_STRING, struct timer: FIELD_TIMER,                   \
		struct mac_address: FIELD_MAC, struct block *: FIELD_BLOCK,        \
		struct chardev *: FIELD_CHARDEV, struct netdev *: FIELD_NETDEV,    \
		struct audio *: FIELD_AUDIO)

#define FIELD_AS(text, T, m, ...)                                                        \
	{                                                                                \
		.name = text, .offset = offsetof(T, m), .size = sizeof(((T *)0)->m),     \
		.type = FIELD_TYPE_OF(((T *)0)->m), __VA_ARGS__                          \
	}

#define SETTING(T, m, ...)          FIELD_AS(#m, T, m, .role = FIELD_SETTING, __VA_ARGS__)
#define SETTING_AS(text, T, m, ...) FIELD_AS(text, T, m, .role = FIELD_SETTING, __VA_ARGS__)
#define STATE(T, m, ...)            FIELD_AS(#m, T, m, .role = FIELD_STATE, __VA_ARGS__)
#define COUNTER(T, m, ...)          FIELD_AS(#m, T, m, .role = FIELD_COUNTER, __VA_ARGS__)
/* An array of structs `m`, each described by `table`. */
#define STATE_STRUCTS(T, m, table)                                                         \
	{                                                                                  \
		.name = #m, .offset = offsetof(T, m), .size = sizeof(((T *)0)->m),         \
		.stride = sizeof(((T *)0)->m[0]), .type = FIELD_STRUCTS, .sub = (table),   \
		.role = FIELD_STATE                                                        \
	}

struct board;

void fields_set_defaults(const struct field *table, void *object);
/* "a=1,b=on": back ends are looked up by id on `board`. Unknown names and bad values are errors. */
int fields_parse(const struct field *table, void *object, const char *args, struct board *board,
		 struct err *err);
/* One setting, for QMP and option tables. */
int fields_set(const struct field *table, void *object, const char *name, const char *value,
	       struct board *board, struct err *err);
void fields_free(const struct field *table, void *object); /* strings */
/* Takes "name=value" off *args ("name" alone: on; ",," in a value is a comma). False: none left. */
bool fields_next_arg(const char **args, char *name, size_t name_room, char *value,
		     size_t value_room);
const struct field *fields_find(const struct field *table, const char *name);
/* A setting or counter as text, as it would be typed. */
void fields_print(const struct field *row, const void *object, char *to, size_t room);

/* State rows, each tagged with its name. `save` returns the size, also when `room` is too small. */
size_t fields_save(const struct field *table, const void *object, uint8_t *out, size_t room);
int fields_load(const struct field *table, void *object, const uint8_t *in, size_t size,
		struct err *err);
void fields_print_help(const struct field *table, FILE *out);

#endif
