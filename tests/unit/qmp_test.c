/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The JSON monitor: what it answers, and what it survives. */
#include "manage/qmp.h"
#include "monitor_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define READY "{\"execute\":\"qmp_capabilities\"}\n"

static int set_up(void **state)
{
	struct monitor_rig *rig = monitor_rig_new(&qmp_protocol);

	*state = rig;
	return 0;
}

static int set_up_ready(void **state)
{
	set_up(state);
	monitor_rig_say(*state, READY);
	return 0;
}

static int tear_down(void **state)
{
	monitor_rig_free(*state);
	return 0;
}

static void has(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text ? text : "nothing");
}

static void a_greeting_comes_first(void **state)
{
	struct monitor_rig *rig = *state;

	has(rig->said, "{\"QMP\":{\"version\":{\"qemu\":{\"major\":7,\"minor\":2,");
	has(rig->said, "\"capabilities\":[]}}\r\n");
}

static void nothing_works_before_negotiation(void **state)
{
	has(monitor_rig_say(*state, "{\"execute\":\"query-status\"}"), "CommandNotFound");
	has(monitor_rig_say(*state, READY), "{\"return\":{}}");
	has(monitor_rig_say(*state, READY), "CommandNotFound");
	has(monitor_rig_say(*state, "{\"execute\":\"query-status\"}"), "prelaunch");
}

static void requests_may_come_byte_by_byte(void **state)
{
	static const char request[] = "  {\"execute\" : \"query-name\", \"id\" : [1, null]} ";
	char all[512] = "";

	for (const char *at = request; *at; at++)
		strcat(all, monitor_rig_send(*state, at, 1));
	assert_string_equal(all, "{\"return\":{},\"id\":[1,null]}\r\n");
}

static void requests_need_no_space_between_them(void **state)
{
	const char *said = monitor_rig_say(*state, "{\"execute\":\"query-name\",\"id\":1}"
						   "{\"execute\":\"query-name\",\"id\":2}");

	has(said, "\"id\":1");
	has(said, "\"id\":2");
}

static void mistakes_get_their_sentence(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"execute\":\"nonsense\"}", "The command nonsense has not been found" },
		{ "[]", "QMP input must be a JSON object" },
		{ "12 ", "QMP input must be a JSON object" },
		{ "null ", "QMP input must be a JSON object" },
		{ "{}", "QMP input lacks member 'execute'" },
		{ "{\"execute\":1}", "QMP input member 'execute' must be a string" },
		{ "{\"execute\":\"stop\",\"arguments\":[]}", "'arguments' must be an object" },
		{ "{\"execute\":\"stop\",\"extra\":1}", "QMP input member 'extra' is unexpected" },
		{ "{\"execute\":\"stop\",\"arguments\":{\"x\":1}}", "Parameter 'x' is unexpected" },
		{ "{\"execute\":\"screendump\"}", "Parameter 'filename' is missing" },
		{ "{\"execute\":\"screendump\",\"arguments\":{\"filename\":1}}",
		  "Invalid parameter type for 'filename', expected: string" },
		{ "{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"/f\",\"format\":\"gif\"}}",
		  "Parameter 'format' does not accept value 'gif'" },
		{ "{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"/f\\u0000g\"}}",
		  "contains a zero byte" },
		{ "{\"execute\":\"pmemsave\",\"arguments\":{\"val\":true,\"size\":1,\"filename\":\"\"}}",
		  "Invalid parameter type for 'val', expected: integer" },
		{ "{\"execute\":\"send-key\",\"arguments\":{\"keys\":[1]}}", "a key is" },
		{ "{\"execute\":\"send-key\",\"arguments\":{\"keys\":[]}}", "1 to 16 keys" },
		{ "{\"execute\":\"input-send-event\",\"arguments\":{\"events\":[{}]}}", "missing" },
		{ "{\"execute\":\"eject\"}", "Exactly one" },
		{ "{\"execute\":\"eject\",\"arguments\":{\"device\":\"none\"}}", "DeviceNotFound" },
		{ "{\"execute\":\"device-list-properties\",\"arguments\":{\"typename\":\"x\"}}",
		  "DeviceNotFound" },
		{ "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"e1000\"}}", "-device" },
		{ "{\"execute\":\"set_password\",\"arguments\":{\"protocol\":\"vnc\",\"password\":\"x\"}}",
		  "no VNC server" },
		{ "{\"execute\":\"x-loadvm\",\"arguments\":{\"filename\":\"/nowhere/x\"}}",
		  "cannot read" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const char *said = monitor_rig_say(*state, cases[i][0]);

		has(said, "\"error\":");
		has(said, cases[i][1]);
	}
}

static void after_a_syntax_error_the_next_line_counts(void **state)
{
	const char *said = monitor_rig_say(*state, "{\"execute\":]} garbage {\n"
						   "{\"execute\":\"query-name\"}\n");

	has(said, "JSON parse error");
	has(said, "{\"return\":{}}");
}

static void stopping_and_going_on_are_events(void **state)
{
	const char *said = monitor_rig_say(*state, "{\"execute\":\"cont\"}{\"execute\":\"stop\"}"
						   "{\"execute\":\"query-status\"}");

	has(said, "\"event\":\"RESUME\"");
	has(said, "\"event\":\"STOP\"");
	has(said, "\"status\":\"paused\"");
	has(said, "\"timestamp\":{\"seconds\":");
}

static void human_commands_come_back_as_text(void **state)
{
	has(monitor_rig_say(*state, "{\"execute\":\"human-monitor-command\",\"arguments\":"
				    "{\"command-line\":\"print 6 * 7\"}}"),
	    "{\"return\":\"0x2a\\r\\n\"}");
}

static void an_endless_request_is_cut(void **state)
{
	char *text = malloc(1 << 20);
	const char *said;

	memset(text, 'a', 1 << 20);
	memcpy(text, "{\"execute\":\"", 12);
	said = monitor_rig_send(*state, text, 1 << 20);
	has(said, "too long");
	assert_null(strstr(strstr(said, "too long") + 1, "too long"));
	has(monitor_rig_say(*state, "\n{\"execute\":\"query-name\"}"), "{\"return\":{}}");
	free(text);
}

static void deep_nesting_is_refused(void **state)
{
	char text[3000];

	memset(text, '[', sizeof(text));
	has(monitor_rig_send(*state, text, sizeof(text)), "JSON parse error");
}

static void a_peer_that_does_not_read_is_not_read_from(void **state)
{
	struct monitor_rig *rig = *state;
	unsigned rounds = 0;

	rig->takes = 0;
	while (chardev_room(rig->chardev) && rounds++ < 1000)
		monitor_rig_say(rig, "{\"execute\":\"query-commands\"}\n");
	assert_int_equal(chardev_room(rig->chardev), 0);
	rig->takes = SIZE_MAX;
	chardev_can_send(rig->chardev);
	assert_true(chardev_room(rig->chardev) > 0);
	has(monitor_rig_say(rig, "{\"execute\":\"query-name\"}"), "{\"return\":{}}");
}

static void a_new_peer_negotiates_anew(void **state)
{
	struct monitor_rig *rig = *state;

	monitor_rig_say(rig, "{\"execute\":");
	chardev_set_open(rig->chardev, false);
	chardev_set_open(rig->chardev, true);
	has(monitor_rig_say(rig, "{\"execute\":\"stop\"}"), "Expecting capabilities negotiation");
}

/* Each command with arguments of every wrong type: an error, never the end. */
static struct json_object *ask(struct monitor_rig *rig, const char *request)
{
	struct json_object *answer = json_tokener_parse(monitor_rig_say(rig, request)), *value;

	assert_true(json_object_object_get_ex(answer, "return", &value));
	json_object_get(value);
	json_object_put(answer);
	return value;
}

static const char *text_of(struct json_object *object, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : NULL;
}

static struct json_object *find_entry(struct json_object *schema, const char *name)
{
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		struct json_object *entry = json_object_array_get_idx(schema, i);

		if (!strcmp(text_of(entry, "name"), name))
			return entry;
	}
	fail_msg("the schema has no \"%s\"", name);
	return NULL;
}

/* Every type that is named is there, and so is every command. */
static void the_schema_is_whole(void **state)
{
	struct json_object *schema = ask(*state, "{\"execute\":\"query-qmp-schema\"}"), *members;
	unsigned count;
	const struct qmp_command *commands = qmp_commands(&count);

	for (unsigned i = 0; i < count; i++)
		assert_string_equal(text_of(find_entry(schema, commands[i].name), "meta-type"), "command");
	for (size_t i = 0; i < json_object_array_length(schema); i++) {
		struct json_object *entry = json_object_array_get_idx(schema, i);

		if (text_of(entry, "arg-type"))
			find_entry(schema, text_of(entry, "arg-type"));
		if (text_of(entry, "ret-type"))
			find_entry(schema, text_of(entry, "ret-type"));
		if (strcmp(text_of(entry, "meta-type"), "object"))
			continue;
		assert_true(json_object_object_get_ex(entry, "members", &members));
		for (size_t k = 0; k < json_object_array_length(members); k++)
			find_entry(schema, text_of(json_object_array_get_idx(members, k), "type"));
	}
	has(text_of(find_entry(schema, "screendump-format"), "values"), "\"png\"");
	has(text_of(find_entry(schema, "screendump-arg"), "members"), "\"default\": null");
	has(text_of(find_entry(schema, "SHUTDOWN-arg"), "members"), "\"guest\"");
	json_object_put(schema);
}

static void options_and_models_are_told(void **state)
{
	has(monitor_rig_say(*state, "{\"execute\":\"query-command-line-options\","
				    "\"arguments\":{\"option\":\"vnc\"}}"),
	    "{\"return\":[{\"option\":\"vnc\",\"parameters\":[]}]}");
	has(monitor_rig_say(*state, "{\"execute\":\"query-command-line-options\","
				    "\"arguments\":{\"option\":\"frob\"}}"),
	    "invalid option name: frob");
	has(monitor_rig_say(*state, "{\"execute\":\"query-cpu-definitions\"}"),
	    "\"typename\":\"qemu64-x86_64-cpu\"");
	has(monitor_rig_say(*state, "{\"execute\":\"query-tpm-types\"}"), "{\"return\":[]}");
}

static void every_command_survives_wrong_arguments(void **state)
{
	static const char *const values[] = { "null", "-1", "1e300", "{}", "[{}]", "[[\"x\"]]",
					      "true", "18446744073709551615" };
	unsigned count;
	const struct qmp_command *commands = qmp_commands(&count);

	for (unsigned i = 0; i < count; i++) {
		for (unsigned v = 0; v < ARRAY_LEN(values); v++) {
			char request[2000];
			int at = snprintf(request, sizeof(request),
					  "{\"execute\":\"%s\",\"arguments\":{", commands[i].name);
			const char *said;

			for (const char *p = commands[i].params; *p && *p != '*';) {
				int name = (int)strcspn(p, "?:");

				at += snprintf(request + at, sizeof(request) - (size_t)at,
					       "%s\"%.*s\":%s", p == commands[i].params ? "" : ",",
					       name, p, values[v]);
				p += strcspn(p, " ");
				p += *p == ' ';
			}
			snprintf(request + at, sizeof(request) - (size_t)at, "}}\n");
			said = monitor_rig_say(*state, request);
			if (!strstr(said, "\"error\":") && !strstr(said, "\"return\":"))
				fail_msg("no answer to %s: %s", request, said);
		}
	}
}

static void noise_is_survived(void **state)
{
	static const char *const pieces[] = { "{", "}", "[", "]", "\"", ":", ",", "execute", "\\u12",
					      "arguments", "1e", "-", "null", "\n", "\xff", "\xc3",
					      "query-block", "'", "/*", "NaN", "\\", " " };
	uint32_t seed = 1;

	for (unsigned round = 0; round < 3000; round++) {
		char text[256] = "";

		for (unsigned i = 0; i < 16; i++) {
			seed = seed * 1664525 + 1013904223;
			strcat(text, pieces[(seed >> 16) % ARRAY_LEN(pieces)]);
		}
		monitor_rig_say(*state, text);
		seed = seed * 1664525 + 1013904223;
		monitor_rig_send(*state, &seed, sizeof(seed));
	}
	monitor_rig_say(*state, "\n]}\"\n]}'\n\n");
	has(monitor_rig_say(*state, "\n{\"execute\":\"query-name\"}\n{\"execute\":\"query-name\"}\n"),
	    "{\"return\":{}}");
}

#define GREETED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define READIED(test) cmocka_unit_test_setup_teardown(test, set_up_ready, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GREETED(a_greeting_comes_first),
		GREETED(nothing_works_before_negotiation),
		READIED(requests_may_come_byte_by_byte),
		READIED(requests_need_no_space_between_them),
		READIED(mistakes_get_their_sentence),
		READIED(after_a_syntax_error_the_next_line_counts),
		READIED(stopping_and_going_on_are_events),
		READIED(human_commands_come_back_as_text),
		READIED(an_endless_request_is_cut),
		READIED(deep_nesting_is_refused),
		READIED(a_peer_that_does_not_read_is_not_read_from),
		READIED(a_new_peer_negotiates_anew),
		READIED(the_schema_is_whole),
		READIED(options_and_models_are_told),
		READIED(every_command_survives_wrong_arguments),
		READIED(noise_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
