/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments of QMP commands against their parameter lists: see qmp.h. */
#include "manage/qmp.h"

#include <errno.h>
#include <string.h>

bool qmp_next_param(const char **params, struct qmp_param *param)
{
	const char *at = *params;

	while (*at == ' ')
		at++;
	if (!*at)
		return false;
	param->name = at;
	param->name_length = (int)strcspn(at, "?:");
	param->optional = at[param->name_length] == '?';
	param->type = at + param->name_length + param->optional + 1;
	param->type_length = (int)strcspn(param->type, " ");
	*params = param->type + param->type_length;
	return true;
}

static bool is_named(const struct qmp_param *param, const char *name)
{
	return (int)strlen(name) == param->name_length &&
	       !strncmp(name, param->name, (size_t)param->name_length);
}

static bool is_word_of(const struct qmp_param *param, const char *word)
{
	size_t length = strlen(word);
	const char *at = param->type, *end = at + param->type_length;

	while (at < end) {
		size_t next = strcspn(at, "| ");

		if (next == length && !strncmp(at, word, length))
			return true;
		at += next + 1;
	}
	return false;
}

static int check_type(const struct qmp_param *param, struct json_object *value, struct err *err)
{
	static const struct {
		const char *name, *said;
		enum json_type type;
	} types[] = {
		{ "str", "string", json_type_string },    { "int", "integer", json_type_int },
		{ "bool", "boolean", json_type_boolean }, { "list", "array", json_type_array },
		{ "object", "object", json_type_object },
	};
	const char *expected = "string";
	bool good = json_object_is_type(value, json_type_string);

	if (!strncmp(param->type, "any", 3))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		if ((int)strlen(types[i].name) != param->type_length ||
		    strncmp(types[i].name, param->type, (size_t)param->type_length))
			continue;
		expected = types[i].said;
		good = json_object_is_type(value, types[i].type);
	}
	if (!good)
		return fail(err, EINVAL, "Invalid parameter type for '%.*s', expected: %s",
			    param->name_length, param->name, expected);
	if (json_object_is_type(value, json_type_string) &&
	    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
		return fail(err, EINVAL, "Parameter '%.*s' contains a zero byte",
			    param->name_length, param->name);
	if (memchr(param->type, '|', (size_t)param->type_length) &&
	    !is_word_of(param, json_object_get_string(value)))
		return fail(err, EINVAL, "Parameter '%.*s' does not accept value '%.60s'",
			    param->name_length, param->name, json_object_get_string(value));
	return 0;
}

int qmp_check_args(const char *params, struct json_object *args, struct err *err)
{
	const char *at = params;
	struct qmp_param param;

	if (*params == '*')
		return 0;
	while (qmp_next_param(&at, &param)) {
		char name[64];
		struct json_object *value;
		int error;

		snprintf(name, sizeof(name), "%.*s", param.name_length, param.name);
		if (!json_object_object_get_ex(args, name, &value)) {
			if (param.optional)
				continue;
			return fail(err, EINVAL, "Parameter '%s' is missing", name);
		}
		error = check_type(&param, value, err);
		if (error)
			return error;
	}
	json_object_object_foreach(args, key, unused) {
		bool known = false;

		(void)unused;
		for (at = params; !known && qmp_next_param(&at, &param);)
			known = is_named(&param, key);
		if (!known)
			return fail(err, EINVAL, "Parameter '%.60s' is unexpected", key);
	}
	return 0;
}

const char *qmp_text(struct json_object *args, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(args, name, &value) ? json_object_get_string(value) : NULL;
}

int64_t qmp_int(struct json_object *args, const char *name, int64_t absent)
{
	struct json_object *value;

	return json_object_object_get_ex(args, name, &value) ? json_object_get_int64(value) :
							       absent;
}

uint64_t qmp_u64(struct json_object *args, const char *name)
{
	struct json_object *value;
	int64_t number;

	if (!json_object_object_get_ex(args, name, &value))
		return 0;
	number = json_object_get_int64(value);
	return number < 0 ? (uint64_t)number : json_object_get_uint64(value);
}

bool qmp_bool(struct json_object *args, const char *name, bool absent)
{
	struct json_object *value;

	return json_object_object_get_ex(args, name, &value) ? json_object_get_boolean(value) :
							       absent;
}

struct json_object *json_add_object(struct json_object *array)
{
	struct json_object *object = json_object_new_object();

	json_object_array_add(array, object);
	return object;
}

void json_put_text(struct json_object *object, const char *name, const char *text)
{
	json_object_object_add(object, name, json_object_new_string(text));
}

void json_put_int(struct json_object *object, const char *name, int64_t value)
{
	json_object_object_add(object, name, json_object_new_int64(value));
}

void json_put_bool(struct json_object *object, const char *name, bool value)
{
	json_object_object_add(object, name, json_object_new_boolean(value));
}
