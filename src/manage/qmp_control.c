/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP commands that do something. */
#include "core/input.h"
#include "manage/actions.h"
#include "manage/hmp.h"
#include "manage/keys.h"
#include "manage/qmp.h"
#include "manage/report.h"

#include <errno.h>
#include <string.h>

#define HANDLER(id)                                                                          \
	int qmp_##id(struct vmm *vmm, struct json_object *args, struct json_object **result, \
		     struct err *err)

HANDLER(capabilities)
{
	struct json_object *enable;

	if (json_object_object_get_ex(args, "enable", &enable) && json_object_array_length(enable))
		return fail(err, EINVAL, "Capability %.40s not available",
			    json_object_get_string(json_object_array_get_idx(enable, 0)));
	return 0;
}

HANDLER(stop)
{
	vmm_stop(vmm);
	return 0;
}

HANDLER(cont)
{
	return vmm_continue(vmm, err);
}

HANDLER(quit)
{
	vmm_quit_soon(vmm);
	return 0;
}

HANDLER(system_reset)
{
	vmm_reset(vmm, "host-qmp-system-reset");
	return 0;
}

HANDLER(system_powerdown)
{
	vmm_power_button(vmm);
	return 0;
}

HANDLER(system_wakeup)
{
	return vmm_wake(vmm, err);
}

HANDLER(inject_nmi)
{
	board_nmi(vmm->board);
	return 0;
}

HANDLER(screendump)
{
	if (qmp_int(args, "head", 0))
		return fail(err, EINVAL, "there is one head, number 0");
	return action_screendump(vmm, qmp_text(args, "filename"), qmp_text(args, "format"), err);
}

/* { "type": "qcode", "data": "ret" } or { "type": "number", "data": 28 }. */
static int key_of(struct json_object *value, unsigned *key, struct err *err)
{
	struct json_object *data;
	const char *type;
	int number = -1;

	if (!json_object_is_type(value, json_type_object) ||
	    qmp_check_args("type:qcode|number data:any", value, err))
		return fail(err, EINVAL, "a key is {\"type\": \"qcode\"|\"number\", \"data\": ...}");
	type = qmp_text(value, "type");
	json_object_object_get_ex(value, "data", &data);
	if (!strcmp(type, "number") && json_object_is_type(data, json_type_int))
		number = json_object_get_int(data) & 0x1ff;
	else if (!strcmp(type, "qcode") && json_object_is_type(data, json_type_string))
		number = input_key_by_name(json_object_get_string(data));
	if (number < 0)
		return fail(err, EINVAL, "Parameter 'data' does not accept value '%.40s'",
			    json_object_get_string(data));
	*key = (unsigned)number;
	return 0;
}

HANDLER(send_key)
{
	struct json_object *list;
	unsigned keys[TYPIST_KEYS], count = 0;
	int64_t hold = qmp_int(args, "hold-time", TYPIST_HOLD_MS);

	json_object_object_get_ex(args, "keys", &list);
	if (json_object_array_length(list) > TYPIST_KEYS)
		return fail(err, EINVAL, "more than %d keys at once", TYPIST_KEYS);
	while (count < json_object_array_length(list)) {
		int error = key_of(json_object_array_get_idx(list, count), &keys[count], err);

		if (error)
			return error;
		count++;
	}
	return typist_press(vmm->typist, keys, count, (unsigned)MAX(MIN(hold, 60000), 1), err);
}

/* Movements of one command add up until a button or the end. */
struct pointing {
	struct vmm *vmm;
	int dx, dy;
	bool placed;
};

static void flush_movement(struct pointing *p)
{
	if (p->placed)
		input_place(p->vmm->board, p->vmm->pointer.x, p->vmm->pointer.y);
	if (p->dx || p->dy)
		input_move(p->vmm->board, p->dx, p->dy, 0);
	p->dx = p->dy = 0;
	p->placed = false;
}

static int button_event(struct pointing *p, struct json_object *data, struct err *err)
{
	static const struct {
		const char *name;
		unsigned bit;
	} buttons[] = { { "left", BUTTON_LEFT }, { "right", BUTTON_RIGHT },
			{ "middle", BUTTON_MIDDLE } };
	unsigned *now = &p->vmm->pointer.buttons;
	const char *name;
	bool down;
	int error = qmp_check_args("down:bool button:left|middle|right|wheel-up|wheel-down|side|extra",
				   data, err);

	if (error)
		return error;
	flush_movement(p);
	down = qmp_bool(data, "down", false);
	name = qmp_text(data, "button");
	if (!strncmp(name, "wheel", 5)) {
		if (down)
			input_move(p->vmm->board, 0, 0, strcmp(name, "wheel-up") ? 1 : -1);
		return 0;
	}
	for (unsigned i = 0; i < ARRAY_LEN(buttons); i++)
		if (!strcmp(name, buttons[i].name))
			*now = down ? *now | buttons[i].bit : *now & ~buttons[i].bit;
	input_buttons(p->vmm->board, *now);
	return 0;
}

static int axis_event(struct pointing *p, bool absolute, struct json_object *data, struct err *err)
{
	int error = qmp_check_args("axis:x|y value:int", data, err);
	int64_t value = qmp_int(data, "value", 0);
	bool is_x;

	if (error)
		return error;
	is_x = !strcmp(qmp_text(data, "axis"), "x");
	if (absolute) {
		*(is_x ? &p->vmm->pointer.x : &p->vmm->pointer.y) =
			(uint32_t)MAX(MIN(value, 32767), 0);
		p->placed = true;
	} else {
		*(is_x ? &p->dx : &p->dy) = (int)MAX(MIN(value, 10000), -10000);
	}
	return 0;
}

static int one_event(struct pointing *p, struct json_object *event, struct err *err)
{
	struct json_object *data, *key;
	const char *type;
	unsigned number;
	int error;

	if (!json_object_is_type(event, json_type_object))
		return fail(err, EINVAL, "Invalid parameter type for 'events', expected: object");
	error = qmp_check_args("type:key|btn|rel|abs data:object", event, err);
	if (error)
		return error;
	type = qmp_text(event, "type");
	json_object_object_get_ex(event, "data", &data);
	if (!strcmp(type, "btn"))
		return button_event(p, data, err);
	if (strcmp(type, "key"))
		return axis_event(p, !strcmp(type, "abs"), data, err);
	error = qmp_check_args("down:bool key:object", data, err);
	if (!error) {
		json_object_object_get_ex(data, "key", &key);
		error = key_of(key, &number, err);
	}
	if (!error)
		input_key(p->vmm->board, number, qmp_bool(data, "down", false));
	return error;
}

HANDLER(input_send_event)
{
	struct pointing p = { .vmm = vmm };
	struct json_object *list;
	int error = 0;

	json_object_object_get_ex(args, "events", &list);
	for (size_t i = 0; i < json_object_array_length(list) && !error; i++)
		error = one_event(&p, json_object_array_get_idx(list, i), err);
	flush_movement(&p);
	return error;
}

HANDLER(human_monitor_command)
{
	struct report report = { 0 };
	unsigned cpu = (unsigned)MAX(MIN(qmp_int(args, "cpu-index", 0), 0xffff), 0);

	if (cpu >= MAX(board_vcpu_count(vmm->board), 1u))
		return fail(err, EINVAL, "Parameter 'cpu-index' expects a CPU number");
	hmp_run(vmm, &cpu, qmp_text(args, "command-line"), &report);
	*result = json_object_new_string(report_text(&report));
	report_free(&report);
	return 0;
}

static int check_range(struct json_object *args, struct err *err)
{
	if (qmp_int(args, "size", 0) < 0)
		return fail(err, EINVAL, "Parameter 'size' is negative");
	return 0;
}

HANDLER(memsave)
{
	int64_t cpu = qmp_int(args, "cpu-index", 0);
	int error = check_range(args, err);

	if (!error && (cpu < 0 || cpu >= board_vcpu_count(vmm->board)))
		error = fail(err, EINVAL, "Parameter 'cpu-index' expects a CPU number");
	return error ? error : action_memory_to_file(vmm, (int)cpu, qmp_u64(args, "val"),
						     qmp_u64(args, "size"),
						     qmp_text(args, "filename"), err);
}

HANDLER(pmemsave)
{
	int error = check_range(args, err);

	return error ? error : action_memory_to_file(vmm, -1, qmp_u64(args, "val"),
						     qmp_u64(args, "size"),
						     qmp_text(args, "filename"), err);
}

static const char *drive_of(struct json_object *args, struct err *err)
{
	const char *id = qmp_text(args, "id"), *device = qmp_text(args, "device");

	if (!id == !device)
		fail(err, EINVAL, "Exactly one of 'device' and 'id' is needed");
	return !id == !device ? NULL : id ? id : device;
}

HANDLER(eject)
{
	const char *drive = drive_of(args, err);

	return drive ? action_eject(vmm, drive, qmp_bool(args, "force", false), err) : -EINVAL;
}

HANDLER(blockdev_change_medium)
{
	const char *drive = drive_of(args, err);
	struct change_medium change = {
		.path = qmp_text(args, "filename"),
		.format = qmp_text(args, "format"),
		.read_only_mode = qmp_text(args, "read-only-mode"),
		.force = qmp_bool(args, "force", false),
	};

	return drive ? action_change(vmm, drive, &change, err) : -EINVAL;
}

HANDLER(set_link)
{
	return action_set_link(vmm, qmp_text(args, "name"), qmp_bool(args, "up", true), err);
}

HANDLER(set_password)
{
	if (strcmp(qmp_text(args, "protocol"), "vnc"))
		return fail(err, EINVAL, "there is no SPICE server");
	return action_vnc_password(vmm, qmp_text(args, "password"), err);
}

HANDLER(change_vnc_password)
{
	return action_vnc_password(vmm, qmp_text(args, "password"), err);
}

HANDLER(x_savevm)
{
	return action_save(vmm, qmp_text(args, "filename"), err);
}

HANDLER(x_loadvm)
{
	return action_load(vmm, qmp_text(args, "filename"), err);
}

HANDLER(device_add)
{
	return fail(err, ENOTSUP, "devices cannot be added to a running machine; start it with -device");
}

HANDLER(device_del)
{
	return fail(err, ENOTSUP, "devices cannot be taken out of a running machine");
}
