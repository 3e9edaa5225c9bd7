/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What management programs ask before they start a machine: commands and their arguments, options,
 * processor models; and what a machine of ours never has.
 *
 * Manual: QEMU's docs/devel/qapi-code-gen, "Client JSON Protocol introspection".
 * Not modelled: the types of answers and of list members, which are "any"; the parameters of command
 * line options.
 */
#include "manage/cpu.h"
#include "manage/qmp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

QUERY(no_items)
{
	*result = json_object_new_array();
	return 0;
}

QUERY(query_display_options)
{
	*result = json_object_new_object();
	json_put_text(*result, "type", "none");
	return 0;
}

QUERY(query_cpu_definitions)
{
	*result = json_object_new_array();
	for (unsigned i = 0; cpu_model_name(i); i++) {
		struct json_object *model = json_add_object(*result);
		char type[64];

		snprintf(type, sizeof(type), "%s-x86_64-cpu", cpu_model_name(i));
		json_put_text(model, "name", cpu_model_name(i));
		json_put_text(model, "typename", type);
		json_put_bool(model, "static", false);
		json_put_bool(model, "migration-safe", i > 0); /* "max" is another on each host */
		json_put_bool(model, "deprecated", false);
	}
	return 0;
}

QUERY(query_command_line_options)
{
	const char *wanted = qmp_text(args, "option"), *name;
	struct json_object *options = json_object_new_array();

	for (unsigned i = 0; (name = cmdline_option(i)); i++) {
		struct json_object *option;

		if (wanted && strcmp(wanted, name))
			continue;
		option = json_add_object(options);
		json_put_text(option, "option", name);
		json_object_object_add(option, "parameters", json_object_new_array());
	}
	if (json_object_array_length(options)) {
		*result = options;
		return 0;
	}
	json_object_put(options);
	return fail(err, EINVAL, "invalid option name: %.60s", wanted);
}

/* The schema. */

static struct json_object *put_kind(struct json_object *schema, const char *name, const char *kind)
{
	struct json_object *entry = json_add_object(schema);

	json_put_text(entry, "name", name);
	json_put_text(entry, "meta-type", kind);
	return entry;
}

static void put_builtins(struct json_object *schema)
{
	static const char *const types[][2] = { { "str", "string" },	{ "int", "int" },
						{ "bool", "boolean" },	{ "object", "value" },
						{ "any", "value" } };

	for (unsigned i = 0; i < ARRAY_LEN(types); i++)
		json_put_text(put_kind(schema, types[i][0], "builtin"), "json-type", types[i][1]);
	json_put_text(put_kind(schema, "[any]", "array"), "element-type", "any");
}

/* "a|b|c" under the name `type`. */
static void put_enum(struct json_object *schema, const char *type, const struct qmp_param *param)
{
	struct json_object *entry = put_kind(schema, type, "enum");
	struct json_object *members = json_object_new_array(), *values = json_object_new_array();
	const char *at = param->type, *end = at + param->type_length;

	while (at < end) {
		int length = (int)strcspn(at, "| ");

		json_object_array_add(values, json_object_new_string_len(at, length));
		json_object_object_add(json_add_object(members), "name",
				       json_object_new_string_len(at, length));
		at += length + 1;
	}
	json_object_object_add(entry, "members", members);
	json_object_object_add(entry, "values", values);
}

static void put_param(struct json_object *schema, struct json_object *members, const char *command,
		      const struct qmp_param *param)
{
	struct json_object *member = json_add_object(members);
	char type[128];

	snprintf(type, sizeof(type), "%.*s", param->type_length, param->type);
	if (!strcmp(type, "list")) {
		strcpy(type, "[any]");
	} else if (strchr(type, '|')) {
		snprintf(type, sizeof(type), "%s-%.*s", command, param->name_length, param->name);
		put_enum(schema, type, param);
	}
	json_object_object_add(member, "name",
			       json_object_new_string_len(param->name, param->name_length));
	json_put_text(member, "type", type);
	if (param->optional)
		json_object_object_add(member, "default", NULL);
}

/* A command or event that takes or brings `params`. */
static struct json_object *put_message(struct json_object *schema, const char *name,
				       const char *kind, const char *params)
{
	struct json_object *entry = put_kind(schema, name, kind), *members = json_object_new_array();
	struct qmp_param param;
	char type[64];

	snprintf(type, sizeof(type), "%s-arg", name);
	json_put_text(entry, "arg-type", type);
	while (*params != '*' && qmp_next_param(&params, &param))
		put_param(schema, members, name, &param);
	json_object_object_add(put_kind(schema, type, "object"), "members", members);
	return entry;
}

QUERY(query_qmp_schema)
{
	static const char *const events[][2] = {
		{ "GUEST_PANICKED", "action:str" },	{ "POWERDOWN", "" },
		{ "RESET", "guest:bool reason:str" },	{ "RESUME", "" },
		{ "SHUTDOWN", "guest:bool reason:str" }, { "STOP", "" },
		{ "SUSPEND", "" },			{ "WAKEUP", "" },
		{ "WATCHDOG", "action:str" },
	};
	unsigned count;
	const struct qmp_command *commands = qmp_commands(&count);

	*result = json_object_new_array();
	put_builtins(*result);
	for (unsigned i = 0; i < count; i++)
		json_put_text(put_message(*result, commands[i].name, "command", commands[i].params),
			      "ret-type", "any");
	for (unsigned i = 0; i < ARRAY_LEN(events); i++)
		put_message(*result, events[i][0], "event", events[i][1]);
	return 0;
}
