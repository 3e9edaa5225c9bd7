/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The human monitor: lines, history, dispatch.
 *
 * Editing: backspace, Ctrl-U, Ctrl-W, Ctrl-C, up and down. Anything else that is no character is
 * ignored, an over-long line is cut.
 */
#include "manage/hmp.h"

#include "host/memory.h"
#include "manage/monitor.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024, HISTORY = 32, CTRL_C = 3, CTRL_L = 12, CTRL_U = 21, CTRL_W = 23,
       ESCAPE = 27, DELETE = 127 };

static const struct hmp_command commands[] = {
#define HMP(name, alias, params, min, max, id, summary) \
	{ name, alias, params, min, max, hmp_##id, summary },
#include "manage/hmp_commands.def"
#undef HMP
};

static const struct {
	const char *name;
	void (*run)(struct hmp *hmp);
	const char *summary;
} subjects[] = {
#define INFO(name, id, summary) { name, hmp_info_##id, summary },
#include "manage/hmp_info.def"
#undef INFO
};

static void print_row(struct report *out, const char *name, const char *params,
		      const char *summary)
{
	report_print(out, "%s%s%s -- %s\n", name, *params ? " " : "", params, summary);
}

void hmp_print_manual(struct report *out, const char *command)
{
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		const struct hmp_command *c = &commands[i];

		if (!command || !strcmp(command, c->name) || !strcmp(command, c->alias))
			print_row(out, c->name, c->params, c->summary);
	}
}

void hmp_print_info_manual(struct report *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(subjects); i++)
		report_print(out, "info %s -- %s\n", subjects[i].name, subjects[i].summary);
}

void hmp_help(struct hmp *hmp)
{
	if (hmp->argc && !strcmp(hmp->argv[0], "info"))
		hmp_print_info_manual(hmp->out);
	else
		hmp_print_manual(hmp->out, hmp->argc ? hmp->argv[0] : NULL);
}

void hmp_info(struct hmp *hmp)
{
	if (!hmp->argc) {
		hmp_print_info_manual(hmp->out);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(subjects); i++) {
		if (!strcmp(subjects[i].name, hmp->argv[0])) {
			subjects[i].run(hmp);
			return;
		}
	}
	report_print(hmp->out, "unknown command: 'info %.100s'\n", hmp->argv[0]);
}

void hmp_complain(struct hmp *hmp, int error, const struct err *err)
{
	if (error)
		report_print(hmp->out, "Error: %s\n", err->text);
}

/* Words; "in quotes" is one. Changes `line`. False: too many. */
static bool split(struct hmp *hmp, char *line)
{
	char *out = line;

	for (;;) {
		char quote = 0;
		char *word;

		while (*line == ' ' || *line == '\t')
			line++;
		if (!*line)
			return true;
		if (hmp->argc == HMP_ARGS)
			return false;
		word = out = line;
		while (*line && (quote || (*line != ' ' && *line != '\t'))) {
			if (*line == '"') {
				quote ^= '"';
				line++;
				continue;
			}
			line += *line == '\\' && quote && line[1];
			*out++ = *line++;
		}
		line += *line != 0;
		*out = 0;
		hmp->argv[hmp->argc++] = word;
	}
}

static const struct hmp_command *find(const char *name, size_t length)
{
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		if ((strlen(commands[i].name) == length && !strncmp(commands[i].name, name, length)) ||
		    (length && strlen(commands[i].alias) == length &&
		     !strncmp(commands[i].alias, name, length)))
			return &commands[i];
	return NULL;
}

/* "x/10i", "x /10i": the format goes off the arguments. */
static const char *take_format(struct hmp *hmp, const char *rest, char *format, size_t room)
{
	size_t length;

	hmp->format = format;
	*format = 0;
	rest += strspn(rest, " \t");
	if (*rest != '/')
		return rest;
	length = strcspn(++rest, " \t");
	snprintf(format, room, "%.*s", (int)length, rest);
	rest += length;
	return rest + strspn(rest, " \t");
}

static void run_line(struct hmp *hmp, const char *line)
{
	size_t length;
	const struct hmp_command *command;
	char format[32];
	char *words;

	line += strspn(line, " \t");
	length = strcspn(line, " \t/");
	if (!*line)
		return;
	command = find(line, length);
	if (!command) {
		report_print(hmp->out, "unknown command: '%.*s'\n", (int)MIN(length, 100u), line);
		return;
	}
	hmp->format = "";
	hmp->rest = line + length + strspn(line + length, " \t");
	if (*command->params == '/')
		hmp->rest = take_format(hmp, hmp->rest, format, sizeof(format));
	words = must_strdup(hmp->rest);
	if (!split(hmp, words) || hmp->argc < command->min || hmp->argc > command->max)
		report_print(hmp->out, "%s: wrong number of arguments; usage: %s %s\n",
			     command->name, command->name, command->params);
	else
		command->run(hmp);
	free(words);
}

void hmp_run(struct vmm *vmm, unsigned *cpu, const char *line, struct report *out)
{
	struct report plain = { 0 };
	struct hmp hmp = { .vmm = vmm, .cpu = cpu, .out = &plain };
	const char *at;

	run_line(&hmp, line);
	for (at = report_text(&plain); *at;) {
		size_t length = strcspn(at, "\n");

		report_print(out, "%.*s%s", (int)length, at, at[length] ? "\r\n" : "");
		at += length + (at[length] != 0);
	}
	report_free(&plain);
}

struct session {
	char line[LINE_MAX_BYTES];
	size_t length;
	char *history[HISTORY]; /* the newest first */
	unsigned shown;         /* 1: history[0], 0: the line being typed */
	unsigned escape;        /* 1 after ESC, 2 after ESC [ */
	bool after_return;
	unsigned cpu;
};

static void say(struct monitor *monitor, const char *text)
{
	monitor_send(monitor, text, strlen(text));
}

static void prompt(struct monitor *monitor)
{
	say(monitor, "(qemu) ");
}

static void *open_session(struct monitor *monitor)
{
	say(monitor, "Kelvin " KELVIN_VERSION
		     " monitor, as of QEMU 7.2.0 - type 'help' for more information\r\n");
	prompt(monitor);
	return must_alloc(sizeof(struct session));
}

static void close_session(void *session)
{
	struct session *s = session;

	for (unsigned i = 0; i < HISTORY; i++)
		free(s->history[i]);
	free(s);
}

static void erase(struct monitor *monitor, struct session *s, size_t to)
{
	while (s->length > to) {
		s->length--;
		say(monitor, "\b \b");
	}
}

static void remember(struct session *s)
{
	s->shown = 0;
	if (!s->length || (s->history[0] && !strcmp(s->history[0], s->line)))
		return;
	free(s->history[HISTORY - 1]);
	memmove(s->history + 1, s->history, (HISTORY - 1) * sizeof(s->history[0]));
	s->history[0] = must_strdup(s->line);
}

static void show_history(struct monitor *monitor, struct session *s, int by)
{
	int wanted = (int)s->shown + by;

	if (wanted < 0 || wanted > HISTORY || (wanted > 0 && !s->history[wanted - 1]))
		return;
	s->shown = (unsigned)wanted;
	erase(monitor, s, 0);
	if (!wanted)
		return;
	s->length = strlen(strcpy(s->line, s->history[wanted - 1]));
	say(monitor, s->line);
}

static void enter(struct monitor *monitor, struct session *s)
{
	struct report out = { 0 };

	say(monitor, "\r\n");
	s->line[s->length] = 0;
	remember(s);
	s->length = 0;
	hmp_run(monitor_vmm(monitor), &s->cpu, s->line, &out);
	monitor_send(monitor, report_text(&out), out.size);
	report_free(&out);
	prompt(monitor);
}

static void control(struct monitor *monitor, struct session *s, uint8_t byte)
{
	size_t to = s->length;

	switch (byte) {
	case '\b':
	case DELETE:
		erase(monitor, s, s->length ? s->length - 1 : 0);
		break;
	case CTRL_U:
		erase(monitor, s, 0);
		break;
	case CTRL_W:
		while (to && s->line[to - 1] == ' ')
			to--;
		while (to && s->line[to - 1] != ' ')
			to--;
		erase(monitor, s, to);
		break;
	case CTRL_C:
	case CTRL_L:
		s->length = byte == CTRL_C ? 0 : s->length;
		say(monitor, "\r\n");
		prompt(monitor);
		monitor_send(monitor, s->line, s->length);
		break;
	case ESCAPE:
		s->escape = 1;
		break;
	}
}

static void take_byte(struct monitor *monitor, struct session *s, uint8_t byte)
{
	bool second = s->after_return && byte == '\n';

	s->after_return = byte == '\r';
	if (s->escape == 1) {
		s->escape = byte == '[' || byte == 'O' ? 2 : 0;
	} else if (s->escape == 2) {
		if (byte < '0' || byte > ';')
			s->escape = 0;
		if (byte == 'A' || byte == 'B')
			show_history(monitor, s, byte == 'A' ? 1 : -1);
	} else if (byte == '\r' || byte == '\n') {
		if (!second)
			enter(monitor, s);
	} else if (byte < ' ' || byte == DELETE) {
		control(monitor, s, byte);
	} else if (s->length + 1 < sizeof(s->line)) {
		s->line[s->length++] = (char)byte;
		monitor_send(monitor, (const char *)&byte, 1);
	}
}

static void receive(struct monitor *monitor, void *session, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		take_byte(monitor, session, (uint8_t)bytes[i]);
}

const struct monitor_protocol hmp_protocol = {
	.name = "hmp",
	.open = open_session,
	.receive = receive,
	.close = close_session,
};
