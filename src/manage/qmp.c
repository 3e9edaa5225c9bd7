/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The JSON monitor: framing, negotiation, dispatch, events.
 *
 * Input is parsed as it comes; a request may have up to 256 KiB and 32 levels. After a syntax error
 * everything up to the next newline is skipped.
 *
 * Manual: QEMU's docs/interop/qmp-spec.
 * Not modelled: out-of-band execution (not among the capabilities).
 */
#include "manage/qmp.h"

#include "host/memory.h"
#include "host/thread.h"
#include "manage/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST_MAX = 256 << 10 };

struct session {
	struct json_tokener *tokener;
	size_t taken;  /* bytes of the request under way */
	bool skipping; /* to the end of the line */
	bool negotiated;
};

#define COMMAND(name, id, params, summary) { name, qmp_##id, params, summary },
static const struct qmp_command commands[] = {
#include "manage/qmp_commands.def"
};
#undef COMMAND

const struct qmp_command *qmp_commands(unsigned *count)
{
	*count = ARRAY_LEN(commands);
	return commands;
}

void qmp_print_manual(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		printf("%-26s %s\n%26s %s\n", commands[i].name, commands[i].summary, "",
		       commands[i].params);
}

static void send_object(struct monitor *monitor, struct json_object *object)
{
	size_t length;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
	char *line = must_format("%s\r\n", text);

	monitor_send(monitor, line, length + 2);
	free(line);
	json_object_put(object);
}

static void send_error(struct monitor *monitor, struct json_object *id, const char *class,
		       const char *text)
{
	struct json_object *reply = json_object_new_object(), *error = json_object_new_object();

	json_put_text(error, "class", class);
	json_put_text(error, "desc", text);
	json_object_object_add(reply, "error", error);
	if (id)
		json_object_object_add(reply, "id", json_object_get(id));
	send_object(monitor, reply);
}

static void send_result(struct monitor *monitor, struct json_object *id,
			struct json_object *result)
{
	struct json_object *reply = json_object_new_object();

	json_object_object_add(reply, "return", result ? result : json_object_new_object());
	if (id)
		json_object_object_add(reply, "id", json_object_get(id));
	send_object(monitor, reply);
}

struct json_object *qmp_version(void)
{
	struct json_object *version = json_object_new_object(), *qemu = json_object_new_object();

	json_put_int(qemu, "major", 7);
	json_put_int(qemu, "minor", 2);
	json_put_int(qemu, "micro", 0);
	json_object_object_add(version, "qemu", qemu);
	json_put_text(version, "package", "Kelvin " KELVIN_VERSION);
	return version;
}

static void *open_session(struct monitor *monitor)
{
	struct session *s = must_alloc(sizeof(*s));
	struct json_object *greeting = json_object_new_object(), *qmp = json_object_new_object();

	s->tokener = json_tokener_new();
	if (!s->tokener)
		abort();
	json_tokener_set_flags(s->tokener, JSON_TOKENER_VALIDATE_UTF8);
	json_object_object_add(qmp, "version", qmp_version());
	json_object_object_add(qmp, "capabilities", json_object_new_array());
	json_object_object_add(greeting, "QMP", qmp);
	send_object(monitor, greeting);
	return s;
}

static void close_session(void *session)
{
	struct session *s = session;

	json_tokener_free(s->tokener);
	free(s);
}

static const struct qmp_command *find_command(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* The envelope; *name and *args are still the request's. */
static int open_envelope(struct json_object *request, const char **name,
			 struct json_object **args, struct err *err)
{
	struct json_object *execute;

	*args = NULL;
	if (!json_object_is_type(request, json_type_object))
		return fail(err, EINVAL, "QMP input must be a JSON object");
	json_object_object_foreach(request, key, value) {
		(void)value;
		if (strcmp(key, "execute") && strcmp(key, "arguments") && strcmp(key, "id"))
			return fail(err, EINVAL, "QMP input member '%.60s' is unexpected", key);
	}
	if (!json_object_object_get_ex(request, "execute", &execute))
		return fail(err, EINVAL, "QMP input lacks member 'execute'");
	if (!json_object_is_type(execute, json_type_string))
		return fail(err, EINVAL, "QMP input member 'execute' must be a string");
	if (json_object_object_get_ex(request, "arguments", args) &&
	    !json_object_is_type(*args, json_type_object))
		return fail(err, EINVAL, "QMP input member 'arguments' must be an object");
	*name = json_object_get_string(execute);
	return 0;
}

/* -ENOSYS: the class is CommandNotFound. */
static int run_command(struct monitor *monitor, struct session *s, const char *name,
		       struct json_object *args, struct json_object **result, struct err *err)
{
	const struct qmp_command *command = find_command(name);
	bool negotiates = !strcmp(name, "qmp_capabilities");
	int error;

	if (!s->negotiated && !negotiates)
		return fail(err, ENOSYS, "Expecting capabilities negotiation with 'qmp_capabilities'");
	if (s->negotiated && negotiates)
		return fail(err, ENOSYS, "Capabilities negotiation is already complete, command ignored");
	if (!command)
		return fail(err, ENOSYS, "The command %.100s has not been found", name);
	error = qmp_check_args(command->params, args, err);
	if (!error)
		error = command->run(monitor_vmm(monitor), args, result, err);
	if (!error && negotiates)
		s->negotiated = true;
	return error;
}

static void answer(struct monitor *monitor, struct session *s, struct json_object *request)
{
	struct json_object *args, *result = NULL, *id = NULL, *none = json_object_new_object();
	struct err err = { 0 };
	const char *name = "";
	int error = open_envelope(request, &name, &args, &err);

	if (json_object_is_type(request, json_type_object))
		json_object_object_get_ex(request, "id", &id);
	if (!error)
		error = run_command(monitor, s, name, args ? args : none, &result, &err);
	if (!error)
		send_result(monitor, id, result);
	else
		send_error(monitor, id,
			   error == -ENOSYS ? "CommandNotFound" :
			   error == -ENODEV ? "DeviceNotFound" : "GenericError", err.text);
	json_object_put(none);
}

static void refuse(struct monitor *monitor, struct session *s, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "JSON parse error, %s", why);
	send_error(monitor, NULL, "GenericError", text);
	json_tokener_reset(s->tokener);
	s->taken = 0;
	s->skipping = true;
}

/* Parses up to the end of one request; returns how many bytes that took. */
static size_t parse(struct monitor *monitor, struct session *s, const char *bytes, size_t count)
{
	struct json_object *request = json_tokener_parse_ex(s->tokener, bytes, (int)count);
	enum json_tokener_error error = json_tokener_get_error(s->tokener);
	size_t used = MIN(json_tokener_get_parse_end(s->tokener), count);

	if (error == json_tokener_continue) {
		s->taken += count;
		if (s->taken > REQUEST_MAX)
			refuse(monitor, s, "the request is too long");
		return count;
	}
	if (error != json_tokener_success) {
		refuse(monitor, s, json_tokener_error_desc(error));
		return used;
	}
	s->taken = 0;
	answer(monitor, s, request);
	json_object_put(request);
	return MAX(used, (size_t)1);
}

static void receive(struct monitor *monitor, void *session, const char *bytes, size_t count)
{
	struct session *s = session;

	while (count) {
		size_t used;

		if (s->skipping) {
			const char *end = memchr(bytes, '\n', count);

			used = end ? (size_t)(end - bytes) + 1 : count;
			s->skipping = !end;
		} else {
			used = parse(monitor, s, bytes, count);
		}
		bytes += used;
		count -= used;
	}
}

static struct json_object *event_data(const struct monitor_event *event)
{
	struct json_object *data = json_object_new_object();

	if (!strcmp(event->name, "SHUTDOWN") || !strcmp(event->name, "RESET")) {
		json_put_bool(data, "guest", event->by_guest);
		json_put_text(data, "reason", event->reason ? event->reason : "none");
	} else if (event->reason) {
		json_put_text(data, "action", event->reason);
	}
	return data;
}

static void tell(struct monitor *monitor, void *session, const struct monitor_event *event)
{
	struct session *s = session;
	struct json_object *message, *when;
	uint64_t now = host_wall_ns();

	if (s == (void *)monitor || !s->negotiated)
		return;
	message = json_object_new_object();
	when = json_object_new_object();
	json_put_int(when, "seconds", (int64_t)(now / SECOND));
	json_put_int(when, "microseconds", (int64_t)(now % SECOND / MICROSECOND));
	json_object_object_add(message, "timestamp", when);
	json_put_text(message, "event", event->name);
	if (event->reason)
		json_object_object_add(message, "data", event_data(event));
	send_object(monitor, message);
}

const struct monitor_protocol qmp_protocol = {
	.name = "qmp",
	.open = open_session,
	.receive = receive,
	.event = tell,
	.close = close_session,
};
