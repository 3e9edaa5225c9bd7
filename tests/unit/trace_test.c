/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -d: its items, and events as lines. */
#include "manage/disassemble.h"
#include "manage/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void items_are_named(void **state)
{
	struct err err = { 0 };
	unsigned log = 0;

	assert_int_equal(trace_parse("int", &log, &err), 0);
	assert_int_equal(log, VM_LOG_INT);
	assert_int_equal(trace_parse("mmu,exec,", &log, &err), 0);
	assert_int_equal(log, VM_LOG_INT | VM_LOG_MMU | VM_LOG_EXEC);
	assert_int_not_equal(trace_parse("int,in", &log, &err), 0);
	assert_non_null(strstr(err.text, "\"in\""));
	log = 0;
	assert_int_equal(trace_parse("all", &log, &err), 0);
	assert_int_equal(log, 127);
}

static void says(const struct vm_event *event, const char *text)
{
	struct report report = { 0 };

	trace_print(&report, event);
	assert_string_equal(report_text(&report), text);
	report_free(&report);
}

static void events_are_lines(void **state)
{
	struct vm_event e = { .kind = VM_LOG_INT,
			      .rip = 0x401000,
			      .cpl = 3,
			      .bits = 64,
			      .name = "fault",
			      .interrupt = { .vector = 14,
					     .has_error = 1,
					     .error = 4,
					     .cs = 0x33,
					     .ss = 0x2b,
					     .rip = 0x401000,
					     .rsp = 0x7ffc0,
					     .cr2 = 0x123 } };

	says(&e, "INT 0: v=0e e=0004 i=0 cpl=3 IP=0033:0000000000401000 pc=0000000000401000 "
		 "SP=002b:000000000007ffc0 CR2=0000000000000123 fault\n");
	e.interrupt.has_error = 0;
	e.name = "software";
	says(&e, "INT 0: v=0e e=0000 i=1 cpl=3 IP=0033:0000000000401000 pc=0000000000401000 "
		 "SP=002b:000000000007ffc0 software\n");
	e = (struct vm_event){
		.kind = VM_LOG_MMU,
		.vcpu = 1,
		.rip = 0x401000,
		.mmu = { .address = 0x200123, .gpa = 0x123, .page_bytes = 0x200000, .access = 'w' }
	};
	says(&e, "MMU 1: w 0000000000200123 -> 123 in a page of 0x200000 cpl=0 "
		 "pc=0000000000401000\n");
	e.mmu.page_bytes = 0;
	e.mmu.error = 2;
	says(&e, "MMU 1: w 0000000000200123 faults e=0002 cpl=0 pc=0000000000401000\n");
	e = (struct vm_event){ .kind = VM_LOG_UNIMPLEMENTED,
			       .name = "reading MSR",
			       .value = 0x1234 };
	says(&e, "Unimplemented 0: reading MSR 0x1234 pc=0000000000000000\n");
}

static void code_is_disassembled(void **state)
{
	static const uint8_t code[] = { 0x48, 0xb8, 8, 7, 6, 5, 4, 3, 2, 1, 0x90, 0x0f };
	struct report report = { 0 };

	disassemble_all(&report, code, sizeof(code), 0x1000, 64);
	assert_non_null(strstr(report_text(&report), "0x00001000:  48 b8 08 07 06 05 04 03  "));
	if (can_disassemble()) {
		assert_non_null(strstr(report_text(&report), "mov $0x102030405060708, %rax\n"));
		assert_non_null(strstr(report_text(&report), "\n0x00001008:  02 01\n"));
		assert_non_null(strstr(report_text(&report), "0x0000100a:  90 "));
		assert_non_null(strstr(report_text(&report), "nop\n0x0000100b:  0f "));
		assert_non_null(strstr(report_text(&report), "(bad)\n"));
	}
	report_free(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_named),
		cmocka_unit_test(events_are_lines),
		cmocka_unit_test(code_is_disassembled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
