/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Field tables: see field.h.
 *
 * Saved state is a row of rows: length of the name, name, 32-bit size, content. Rows may come in any
 * order; a row that the table does not have, that has another size or a value out of range refuses
 * the whole. A row that is missing is an error unless the field came later (.since).
 */
#include "core/field.h"
#include "core/block.h"
#include "core/chardev.h"
#include "core/dev.h"
#include "core/netdev.h"
#include "host/memory.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 64, ROWS_MAX = 256 };

static void *member(const struct field *f, void *object)
{
	return (char *)object + f->offset;
}

static const void *const_member(const struct field *f, const void *object)
{
	return (const char *)object + f->offset;
}

static bool is_number(const struct field *f)
{
	return f->type <= FIELD_I64;
}

static bool is_backend(const struct field *f)
{
	return f->type >= FIELD_BLOCK && f->type <= FIELD_AUDIO;
}

static uint64_t get(const struct field *f, const void *object)
{
	return load_le(const_member(f, object), (unsigned)f->size);
}

static void put(const struct field *f, void *object, uint64_t value)
{
	store_le(member(f, object), value, (unsigned)f->size);
}

static unsigned choice_count(const struct field *f)
{
	unsigned count = 1;

	for (const char *at = f->choices; *at; at++)
		count += *at == ',';
	return count;
}

static uint64_t largest(const struct field *f)
{
	if (f->max)
		return f->max;
	if (f->type == FIELD_BOOL)
		return 1;
	if (f->choices)
		return choice_count(f) - 1;
	if (f->type == FIELD_I64)
		return INT64_MAX;
	return f->size < 8 ? BIT(8 * f->size) - 1 : UINT64_MAX;
}

static bool in_range(const struct field *f, uint64_t value)
{
	if (f->type == FIELD_I64 && (int64_t)value < 0)
		return -value <= largest(f);
	return value >= f->min && value <= largest(f);
}

void fields_set_defaults(const struct field *table, void *object)
{
	for (const struct field *f = table; f && f->name; f++) {
		if (f->role != FIELD_SETTING)
			continue;
		if (is_number(f))
			put(f, object, f->def);
		else if (f->type == FIELD_STRING && f->text_def)
			*(char **)member(f, object) = must_strdup(f->text_def);
	}
}

static const struct field *find(const struct field *table, const char *name, enum field_role role)
{
	for (const struct field *f = table; f && f->name; f++)
		if (f->role == role && !strcmp(f->name, name))
			return f;
	return NULL;
}

const struct field *fields_find(const struct field *table, const char *name)
{
	return find(table, name, FIELD_SETTING);
}

bool fields_next_arg(const char **args, char *name, size_t name_room, char *value,
		     size_t value_room)
{
	const char *at = *args;
	size_t length = 0;
	bool has_value = false;

	if (!at || !*at)
		return false;
	for (; *at && *at != ',' && *at != '='; at++)
		if (length + 1 < name_room)
			name[length++] = *at;
	name[length] = 0;
	length = 0;
	if (*at == '=') {
		has_value = true;
		for (at++; *at && (*at != ',' || at[1] == ','); at++) {
			if (*at == ',')
				at++;
			if (length + 1 < value_room)
				value[length++] = *at;
		}
	}
	value[length] = 0;
	if (!has_value)
		snprintf(value, value_room, "on");
	*args = *at ? at + 1 : at;
	return true;
}

static int parse_bool(const struct field *f, const char *value, uint64_t *number, struct err *err)
{
	static const char *const yes[] = { "on", "yes", "true", "y" };
	static const char *const no[] = { "off", "no", "false", "n" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcmp(value, yes[i]) || !strcmp(value, no[i])) {
			*number = !strcmp(value, yes[i]);
			return 0;
		}
	}
	return fail(err, EINVAL, "\"%s\" must be on or off, not \"%s\"", f->name, value);
}

static int parse_choice(const struct field *f, const char *value, uint64_t *number, struct err *err)
{
	const char *at = f->choices;
	size_t length = strlen(value);

	for (unsigned i = 0;; i++) {
		size_t word = strcspn(at, ",");

		if (word == length && !memcmp(at, value, word)) {
			*number = i;
			return 0;
		}
		if (!at[word])
			break;
		at += word + 1;
	}
	return fail(err, EINVAL, "\"%s\" must be one of %s, not \"%s\"", f->name, f->choices, value);
}

static unsigned suffix_shift(const char *end)
{
	static const char suffixes[] = "bkmgtpe";
	const char *at = *end && !end[1] ? strchr(suffixes, tolower((unsigned char)*end)) : NULL;

	return at ? 10 * (unsigned)(at - suffixes) : UINT32_MAX;
}

static int parse_number(const struct field *f, const char *value, uint64_t *number, struct err *err)
{
	bool is_hex = value[0] == '0' && (value[1] | 32) == 'x';
	unsigned shift = 0;
	char *end;

	if (!isdigit((unsigned char)value[0]) && !(f->type == FIELD_I64 && value[0] == '-'))
		return fail(err, EINVAL, "\"%s\" must be a number, not \"%s\"", f->name, value);
	errno = 0;
	if (value[0] == '-')
		*number = (uint64_t)strtoll(value, &end, 0);
	else
		*number = strtoull(value, &end, is_hex ? 16 : 10);
	if (*end && f->is_size)
		shift = suffix_shift(end);
	if (shift == UINT32_MAX || (*end && !f->is_size) || errno)
		return fail(err, EINVAL, "\"%s\" must be a number, not \"%s\"", f->name, value);
	if (shift && *number >> (64 - shift))
		return fail(err, ERANGE, "\"%s\" is too large: %s", f->name, value);
	*number <<= shift;
	return 0;
}

static int set_number(const struct field *f, void *object, const char *value, struct err *err)
{
	uint64_t number = 0;
	int code;

	if (f->type == FIELD_BOOL)
		code = parse_bool(f, value, &number, err);
	else if (f->choices)
		code = parse_choice(f, value, &number, err);
	else
		code = parse_number(f, value, &number, err);
	if (code)
		return code;
	if (!in_range(f, number)) {
		if (f->type == FIELD_I64)
			return fail(err, ERANGE, "\"%s\" is out of range: %s", f->name, value);
		return fail(err, ERANGE, "\"%s\" must be %" PRIu64 " to %" PRIu64 ", not %s",
			    f->name, f->min, largest(f), value);
	}
	put(f, object, number);
	return 0;
}

static int set_mac(const struct field *f, void *object, const char *value, struct err *err)
{
	struct mac_address mac;
	char end;
	int count = sscanf(value, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac.byte[0],
			   &mac.byte[1], &mac.byte[2], &mac.byte[3], &mac.byte[4], &mac.byte[5],
			   &end);

	if (count != 6)
		return fail(err, EINVAL, "\"%s\" must be like 52:54:00:12:34:56, not \"%s\"",
			    f->name, value);
	memcpy(member(f, object), &mac, sizeof(mac));
	return 0;
}

static int set_backend(const struct field *f, void *object, const char *value, struct board *board,
		       struct err *err)
{
	static const char *const kinds[] = { "disk", "chardev", "netdev", "audiodev" };
	void *found = NULL;

	if (!*value) {
		*(void **)member(f, object) = NULL;
		return 0;
	}
	if (board && f->type == FIELD_BLOCK)
		found = block_find(board, value);
	else if (board && f->type == FIELD_CHARDEV)
		found = chardev_find(board, value);
	else if (board && f->type == FIELD_NETDEV)
		found = netdev_find(board, value);
	if (!found)
		return fail(err, ENOENT, "no %s \"%s\"", kinds[f->type - FIELD_BLOCK], value);
	*(void **)member(f, object) = found;
	return 0;
}

static int set(const struct field *f, void *object, const char *value, struct board *board,
	       struct err *err)
{
	char **string;

	if (is_number(f))
		return set_number(f, object, value, err);
	if (is_backend(f))
		return set_backend(f, object, value, board, err);
	if (f->type == FIELD_MAC)
		return set_mac(f, object, value, err);
	if (f->type != FIELD_STRING)
		return fail(err, EINVAL, "\"%s\" cannot be set", f->name);
	string = member(f, object);
	free(*string);
	*string = must_strdup(value);
	return 0;
}

int fields_set(const struct field *table, void *object, const char *name, const char *value,
	       struct board *board, struct err *err)
{
	const struct field *f = fields_find(table, name);

	if (!f)
		return fail(err, EINVAL, "no setting \"%s\"", name);
	return set(f, object, value, board, err);
}

int fields_parse(const struct field *table, void *object, const char *args, struct board *board,
		 struct err *err)
{
	char name[NAME_MAX_BYTES], value[1024];

	while (fields_next_arg(&args, name, sizeof(name), value, sizeof(value))) {
		int code = fields_set(table, object, name, value, board, err);

		if (code)
			return code;
	}
	return 0;
}

void fields_free(const struct field *table, void *object)
{
	for (const struct field *f = table; f && f->name; f++) {
		if (f->role == FIELD_SETTING && f->type == FIELD_STRING) {
			free(*(char **)member(f, object));
			*(char **)member(f, object) = NULL;
		}
	}
}

/* Writes what fits and counts all of it. */
struct writer {
	uint8_t *out;
	size_t room, used;
};

static void write_bytes(struct writer *w, const void *from, size_t bytes)
{
	if (w->used <= w->room && bytes <= w->room - w->used)
		memcpy(w->out + w->used, from, bytes);
	w->used += bytes;
}

static void write_u32(struct writer *w, uint32_t value)
{
	write_bytes(w, &value, sizeof(value));
}

static void save_rows(const struct field *table, const void *object, struct writer *w);

static void save_structs(const struct field *f, const void *object, struct writer *w)
{
	size_t count = f->size / f->stride;

	write_u32(w, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		const char *element = (const char *)const_member(f, object) + i * f->stride;
		struct writer measure = { 0 };

		save_rows(f->sub, element, &measure);
		write_u32(w, (uint32_t)measure.used);
		save_rows(f->sub, element, w);
	}
}

static void save_content(const struct field *f, const void *object, struct writer *w)
{
	if (f->type == FIELD_STRUCTS)
		save_structs(f, object, w);
	else if (f->type == FIELD_TIMER)
		write_bytes(w, &((const struct timer *)const_member(f, object))->deadline, 8);
	else
		write_bytes(w, const_member(f, object), f->size);
}

static void save_rows(const struct field *table, const void *object, struct writer *w)
{
	for (const struct field *f = table; f && f->name; f++) {
		struct writer measure = { 0 };
		uint8_t length = (uint8_t)strlen(f->name);

		if (f->role != FIELD_STATE)
			continue;
		save_content(f, object, &measure);
		write_bytes(w, &length, 1);
		write_bytes(w, f->name, length);
		write_u32(w, (uint32_t)measure.used);
		save_content(f, object, w);
	}
}

size_t fields_save(const struct field *table, const void *object, uint8_t *out, size_t room)
{
	struct writer w = { .out = out, .room = room };

	save_rows(table, object, &w);
	return w.used;
}

static int load_structs(const struct field *f, void *object, const uint8_t *in, size_t size,
			struct err *err)
{
	size_t count = f->size / f->stride;

	if (size < 4 || load_le32(in) != count)
		return fail(err, EINVAL, "state of \"%s\" has another number of elements", f->name);
	in += 4, size -= 4;
	for (size_t i = 0; i < count; i++) {
		uint32_t bytes;
		int code;

		if (size < 4 || load_le32(in) > size - 4)
			return fail(err, EINVAL, "state of \"%s\" ends early", f->name);
		bytes = load_le32(in);
		in += 4, size -= 4;
		code = fields_load(f->sub, (char *)member(f, object) + i * f->stride, in, bytes,
				   err);
		if (code)
			return code;
		in += bytes, size -= bytes;
	}
	return size ? fail(err, EINVAL, "state of \"%s\" is too long", f->name) : 0;
}

static int load_content(const struct field *f, void *object, const uint8_t *in, size_t size,
			struct err *err)
{
	size_t expected = f->type == FIELD_TIMER ? 8 : f->size;

	if (f->type == FIELD_STRUCTS)
		return load_structs(f, object, in, size, err);
	if (size != expected)
		return fail(err, EINVAL, "state of \"%s\" has %zu bytes, not %zu", f->name, size,
			    expected);
	if (f->type == FIELD_TIMER) {
		struct timer *timer = member(f, object);
		uint64_t deadline = load_le64(in);

		timer_stop(timer);
		if (deadline)
			timer_arm(timer, deadline);
		return 0;
	}
	if (is_number(f) && !in_range(f, load_le(in, (unsigned)size)))
		return fail(err, ERANGE, "state of \"%s\" is out of range", f->name);
	memcpy(member(f, object), in, size);
	return 0;
}

static const struct field *find_state(const struct field *table, const uint8_t *name, size_t length,
				      size_t *number)
{
	for (const struct field *f = table; f && f->name; f++) {
		if (f->role == FIELD_STATE && strlen(f->name) == length &&
		    !memcmp(f->name, name, length)) {
			*number = (size_t)(f - table);
			return f;
		}
	}
	return NULL;
}

int fields_load(const struct field *table, void *object, const uint8_t *in, size_t size,
		struct err *err)
{
	uint64_t seen[ROWS_MAX / 64] = { 0 };
	size_t number = 0;

	while (size) {
		size_t length = in[0];
		const struct field *f;
		uint32_t bytes;
		int code;

		if (size < 1 + length + 4)
			return fail(err, EINVAL, "state ends within a row");
		f = find_state(table, in + 1, length, &number);
		if (!f || number >= ROWS_MAX)
			return fail(err, EINVAL, "state has a row \"%.*s\" that is not known",
				    (int)length, (const char *)in + 1);
		bytes = load_le32(in + 1 + length);
		in += 1 + length + 4, size -= 1 + length + 4;
		if (bytes > size)
			return fail(err, EINVAL, "state of \"%s\" ends early", f->name);
		code = load_content(f, object, in, bytes, err);
		if (code)
			return code;
		seen[number / 64] |= BIT(number % 64);
		in += bytes, size -= bytes;
	}
	for (const struct field *f = table; f && f->name; f++) {
		number = (size_t)(f - table);
		if (f->role == FIELD_STATE && !f->since &&
		    !(number < ROWS_MAX && seen[number / 64] & BIT(number % 64)))
			return fail(err, EINVAL, "state lacks \"%s\"", f->name);
	}
	return 0;
}

static const char *type_name(const struct field *f)
{
	static const char *const names[] = {
		[FIELD_BOOL] = "bool",       [FIELD_U8] = "uint8",         [FIELD_U16] = "uint16",
		[FIELD_U32] = "uint32",      [FIELD_U64] = "uint64",       [FIELD_I64] = "int64",
		[FIELD_BYTES] = "bytes",     [FIELD_STRING] = "str",       [FIELD_TIMER] = "time",
		[FIELD_STRUCTS] = "structs", [FIELD_MAC] = "mac address",  [FIELD_BLOCK] = "drive id",
		[FIELD_CHARDEV] = "chardev", [FIELD_NETDEV] = "netdev id", [FIELD_AUDIO] = "audiodev",
	};

	if (f->choices)
		return f->choices;
	return f->is_size ? "size" : names[f->type];
}

static void print_choice(const struct field *f, uint64_t value, char *to, size_t room)
{
	const char *at = f->choices;

	for (; value && *at; value--)
		at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',');
	snprintf(to, room, "%.*s", (int)strcspn(at, ","), at);
}

static void print_number(const struct field *f, uint64_t value, char *to, size_t room)
{
	if (f->type == FIELD_BOOL)
		snprintf(to, room, "%s", value ? "on" : "off");
	else if (f->choices)
		print_choice(f, value, to, room);
	else if (f->type == FIELD_I64)
		snprintf(to, room, "%" PRId64, (int64_t)value);
	else if (f->type == FIELD_U16 && value > 255)
		snprintf(to, room, "%#" PRIx64, value);
	else
		snprintf(to, room, "%" PRIu64, value);
}

void fields_print(const struct field *row, const void *object, char *to, size_t room)
{
	const void *at = const_member(row, object);
	const uint8_t *mac = at;
	const char *text = "";

	if (is_number(row)) {
		print_number(row, get(row, object), to, room);
		return;
	}
	if (row->type == FIELD_MAC) {
		snprintf(to, room, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
			 mac[4], mac[5]);
		return;
	}
	if (row->type == FIELD_STRING && *(char *const *)at)
		text = *(char *const *)at;
	else if (row->type == FIELD_BLOCK && *(struct block *const *)at)
		text = block_id(*(struct block *const *)at);
	else if (row->type == FIELD_CHARDEV && *(struct chardev *const *)at)
		text = chardev_id(*(struct chardev *const *)at);
	else if (row->type == FIELD_NETDEV && *(struct netdev *const *)at)
		text = netdev_id(*(struct netdev *const *)at);
	snprintf(to, room, "%s", text);
}

void fields_print_help(const struct field *table, FILE *out)
{
	char text[128];

	for (const struct field *f = table; f && f->name; f++) {
		if (f->role != FIELD_SETTING)
			continue;
		fprintf(out, "  %s=<%s>%*s - %s", f->name, type_name(f),
			(int)MAX(0, 22 - (int)(strlen(f->name) + strlen(type_name(f)) + 3)), "",
			f->help ? f->help : "");
		if (is_number(f)) {
			print_number(f, f->def, text, sizeof(text));
			fprintf(out, " (default: %s)", text);
		} else if (f->text_def) {
			fprintf(out, " (default: \"%s\")", f->text_def);
		}
		fputc('\n', out);
	}
}
