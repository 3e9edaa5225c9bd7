/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP commands: rows of qmp_commands.def and what they are made of. */
#ifndef MANAGE_QMP_H
#define MANAGE_QMP_H

#include "manage/vmm.h"

#include <json-c/json.h>

struct qmp_command {
	const char *name;
	/* Arguments are checked against `params`. *result NULL: an empty object is returned.
	 * -ENODEV becomes the class DeviceNotFound, everything else GenericError. */
	int (*run)(struct vmm *vmm, struct json_object *args, struct json_object **result,
		   struct err *err);
	/* "NAME:TYPE NAME?:TYPE": str, int, bool, list, object, any, or words "a|b|c". */
	const char *params;
	const char *summary;
};

#define COMMAND(name, id, params, summary)                                                       \
	int qmp_##id(struct vmm *vmm, struct json_object *args, struct json_object **result,     \
		     struct err *err);
#include "manage/qmp_commands.def"
#undef COMMAND

const struct qmp_command *qmp_commands(unsigned *count);
/* The table as a manual: one line a command. */
void qmp_print_manual(void);

/* A body's head: QUERY(query_name) { ... } */
#define QUERY(id)                                                                            \
	int qmp_##id(struct vmm *vmm, struct json_object *args, struct json_object **result, \
		     struct err *err)

/* A parameter of qmp_command.params; its texts are not ended by a zero. */
struct qmp_param {
	const char *name, *type;
	int name_length, type_length;
	bool optional;
};

/* Takes the next one off *params; false: there are no more. */
bool qmp_next_param(const char **params, struct qmp_param *param);
/* qmp_args.c: 0, or -EINVAL with the sentence QEMU has for it. */
int qmp_check_args(const char *params, struct json_object *args, struct err *err);
/* Checked arguments; NULL, `absent` when not given. */
const char *qmp_text(struct json_object *args, const char *name);
int64_t qmp_int(struct json_object *args, const char *name, int64_t absent);
uint64_t qmp_u64(struct json_object *args, const char *name);
bool qmp_bool(struct json_object *args, const char *name, bool absent);
/* Building answers. */
struct json_object *json_add_object(struct json_object *array); /* a new one at its end */
void json_put_text(struct json_object *object, const char *name, const char *text);
void json_put_int(struct json_object *object, const char *name, int64_t value);
void json_put_bool(struct json_object *object, const char *name, bool value);
struct json_object *qmp_version(void);

#endif
