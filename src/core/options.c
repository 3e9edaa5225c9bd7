/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Option strings: see options.h. */
#include "core/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Copies up to the next single comma, halving doubled ones. Returns what follows it. */
static const char *take_part(const char *text, char *out)
{
	while (*text) {
		if (*text == ',') {
			if (text[1] != ',')
				break;
			text++;
		}
		*out++ = *text++;
	}
	*out = 0;
	return *text ? text + 1 : text;
}

static void add(struct options *options, const char *key, size_t key_length, const char *value)
{
	struct option *o;

	options->list = realloc(options->list, (options->count + 1) * sizeof(*options->list));
	if (!options->list)
		abort();
	o = &options->list[options->count++];
	*o = (struct option){ .key = strndup(key, key_length), .value = strdup(value) };
	if (!o->key || !o->value)
		abort();
}

int options_parse(struct options *options, const char *what, const char *text,
		  const char *implied, struct err *err)
{
	char *part = malloc(strlen(text) + 1);
	bool first = true;
	int error = 0;

	if (!part)
		abort();
	*options = (struct options){ .what = what };
	for (; *text && !error; first = false) {
		size_t key;

		text = take_part(text, part);
		key = strcspn(part, "=");
		if (part[key])
			add(options, part, key, part + key + 1);
		else if (first && implied)
			add(options, implied, strlen(implied), part);
		else if (!strncmp(part, "no", 2) && part[2])
			add(options, part + 2, strlen(part + 2), "off");
		else if (*part)
			add(options, part, strlen(part), "on");
		else
			error = fail(err, EINVAL, "%s has an empty part between commas", what);
	}
	free(part);
	return error;
}

void options_free(struct options *options)
{
	for (unsigned i = 0; i < options->count; i++) {
		free(options->list[i].key);
		free(options->list[i].value);
	}
	free(options->list);
	options->list = NULL;
	options->count = 0;
}

const char *options_get(struct options *options, const char *key)
{
	const char *value = NULL;

	for (unsigned i = 0; i < options->count; i++) {
		if (strcmp(options->list[i].key, key))
			continue;
		options->list[i].asked = true;
		value = options->list[i].value;
	}
	return value;
}

const char *options_get_nth(struct options *options, const char *key, unsigned n)
{
	for (unsigned i = 0; i < options->count; i++) {
		if (strcmp(options->list[i].key, key) || n--)
			continue;
		options->list[i].asked = true;
		return options->list[i].value;
	}
	return NULL;
}

int options_bool(struct options *options, const char *key, bool absent, bool *value,
		 struct err *err)
{
	const char *text = options_get(options, key);

	*value = absent;
	if (!text)
		return 0;
	if (!strcmp(text, "on") || !strcmp(text, "yes") || !strcmp(text, "true"))
		*value = true;
	else if (!strcmp(text, "off") || !strcmp(text, "no") || !strcmp(text, "false"))
		*value = false;
	else
		return fail(err, EINVAL, "%s: \"%s\" must be on or off, not \"%s\"", options->what,
			    key, text);
	return 0;
}

int options_number(struct options *options, const char *key, uint64_t absent, uint64_t *value,
		   struct err *err)
{
	const char *text = options_get(options, key);
	char *end;

	*value = absent;
	if (!text)
		return 0;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (end == text || *end || errno || *text == '-')
		return fail(err, EINVAL, "%s: \"%s\" must be a number, not \"%s\"", options->what,
			    key, text);
	return 0;
}

int parse_size(const char *text, uint64_t unit, uint64_t *value)
{
	static const char suffixes[] = "bkmgt";
	char *end;
	double number;
	const char *suffix;

	errno = 0;
	number = strtod(text, &end);
	if (end == text || errno || number < 0 || number > 1e18)
		return -EINVAL;
	if (*end) {
		suffix = strchr(suffixes, *end | 0x20);
		if (!suffix || end[1])
			return -EINVAL;
		unit = 1ull << 10 * (suffix - suffixes);
	}
	if (number * unit > 1e18)
		return -EINVAL;
	*value = number * unit;
	return 0;
}

int options_size(struct options *options, const char *key, uint64_t absent, uint64_t unit,
		 uint64_t *value, struct err *err)
{
	const char *text = options_get(options, key);

	*value = absent;
	if (text && parse_size(text, unit, value))
		return fail(err, EINVAL,
			    "%s: \"%s\" must be a size such as 512M or 2G, not \"%s\"",
			    options->what, key, text);
	return 0;
}

int options_check(const struct options *options, struct err *err)
{
	for (unsigned i = 0; i < options->count; i++)
		if (!options->list[i].asked)
			return fail(err, EINVAL, "%s has no option \"%s\"", options->what,
				    options->list[i].key);
	return 0;
}

char *options_rest(const struct options *options)
{
	size_t room = 1;
	char *text, *out;

	for (unsigned i = 0; i < options->count; i++)
		room += strlen(options->list[i].key) + 2 * strlen(options->list[i].value) + 2;
	text = out = malloc(room);
	if (!text)
		abort();
	for (unsigned i = 0; i < options->count; i++) {
		const struct option *o = &options->list[i];

		if (o->asked)
			continue;
		if (out != text)
			*out++ = ',';
		out = stpcpy(out, o->key);
		*out++ = '=';
		for (const char *v = o->value; *v; v++) {
			if (*v == ',')
				*out++ = ',';
			*out++ = *v;
		}
	}
	*out = 0;
	return text;
}
