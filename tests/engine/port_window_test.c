/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of one's own choosing, pages shown there, and accesses that miss: host/port_window.c. */
#include "base/port.h"
#include "base/bits.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

enum { PAGE = 0x1000, AREA = 64 * PAGE };
#define AREA_AT 0x250000000000ull

static uint8_t *shared_pages(int flags)
{
	uint8_t *pages = mmap(NULL, AREA, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(pages, MAP_FAILED);
	return pages;
}

static bool is_taken(uint64_t address)
{
	void *wanted = (void *)(uintptr_t)address;
	void *got = mmap(wanted, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (got != MAP_FAILED)
		munmap(got, PAGE);
	return got != wanted;
}

static void assert_all_taken(void)
{
	for (uint64_t at = AREA_AT; at < AREA_AT + AREA; at += PAGE)
		assert_true(is_taken(at));
}

/* Each test of cmocka's has signal handlers of its own. */
static struct sigaction ours[2];

static void reserve(void)
{
	sigaction(SIGSEGV, &ours[0], NULL);
	sigaction(SIGBUS, &ours[1], NULL);
	assert_int_equal(port_reserve(AREA_AT, AREA), 0);
}

/* Faults: the accesses below are the only code that may have any. */
static struct {
	struct port_fault fault;
	unsigned count;
	const uint8_t *next; /* where it goes on */
	bool goes_away;      /* show the page instead */
	uint8_t *page;
} caught;

static const uint8_t *on_fault(void *context, const struct port_fault *fault)
{
	assert_ptr_equal(context, &caught);
	caught.fault = *fault;
	caught.count++;
	if (!caught.goes_away)
		return caught.next;
	port_show(AREA_AT, caught.page, PAGE, true);
	return fault->pc;
}

/* True: there was no fault. */
static bool get(uint64_t address, uint8_t *value)
{
	bool good;

	caught.count = 0;
	__asm__ volatile("leaq 1f(%%rip), %%rax\n movq %%rax, %2\n movb (%3), %b0\n movb $1, %1\n jmp 2f\n"
			 "1: movb $0, %1\n2:"
			 : "=&q"(*value), "=m"(good), "=m"(caught.next)
			 : "r"(address)
			 : "rax", "memory");
	return good;
}

static bool put(uint64_t address, uint8_t value)
{
	bool good;

	caught.count = 0;
	__asm__ volatile("leaq 1f(%%rip), %%rax\n movq %%rax, %1\n movb %b3, (%2)\n movb $1, %0\n jmp 2f\n"
			 "1: movb $0, %0\n2:"
			 : "=m"(good), "=m"(caught.next)
			 : "r"(address), "q"(value)
			 : "rax", "memory");
	return good;
}

/* Beside RBP a bad address is another exception. */
static bool get_beside_rbp(uint64_t address)
{
	bool good;

	caught.count = 0;
	__asm__ volatile("leaq 1f(%%rip), %%rax\n movq %%rax, %1\n movq %%rbp, %%rcx\n movq %2, %%rbp\n"
			 "movb (%%rbp), %%al\n movq %%rcx, %%rbp\n movb $1, %0\n jmp 2f\n"
			 "1: movq %%rcx, %%rbp\n movb $0, %0\n2:"
			 : "=m"(good), "=m"(caught.next)
			 : "r"(address)
			 : "rax", "rcx", "memory");
	return good;
}

static void reserved_addresses_are_nobody_elses(void **state)
{
	reserve();
	assert_all_taken();
	assert_int_equal(port_reserve(AREA_AT + PAGE, PAGE), -EEXIST);
	assert_int_equal(port_reserve(AREA_AT + AREA - PAGE, 2 * PAGE), -EEXIST);
	assert_false(is_taken(AREA_AT + AREA));
	port_unreserve(AREA_AT, AREA);
	assert_false(is_taken(AREA_AT));
}

static void shown_pages_are_the_same_pages(void **state)
{
	uint8_t *pages = shared_pages(MAP_SHARED), value;

	reserve();
	pages[2 * PAGE + 5] = 17;
	assert_int_equal(port_show(AREA_AT + 7 * PAGE, pages + 2 * PAGE, 2 * PAGE, true), 0);
	assert_true(get(AREA_AT + 7 * PAGE + 5, &value));
	assert_int_equal(value, 17);
	assert_true(put(AREA_AT + 9 * PAGE - 1, 18));
	assert_int_equal(pages[4 * PAGE - 1], 18);
	assert_false(get(AREA_AT + 7 * PAGE - 1, &value));
	assert_false(get(AREA_AT + 9 * PAGE, &value));

	assert_int_equal(port_make_readonly(AREA_AT + 7 * PAGE, PAGE), 0);
	assert_true(get(AREA_AT + 7 * PAGE + 5, &value));
	assert_false(put(AREA_AT + 7 * PAGE + 5, 19));
	assert_true(caught.fault.is_write);
	assert_true(put(AREA_AT + 8 * PAGE, 20));
	assert_int_equal(pages[2 * PAGE + 5], 17);

	assert_int_equal(port_hide(AREA_AT + 8 * PAGE, PAGE), 0);
	assert_false(get(AREA_AT + 8 * PAGE, &value));
	assert_true(caught.fault.address == AREA_AT + 8 * PAGE);
	assert_false(caught.fault.is_write);
	assert_true(get(AREA_AT + 7 * PAGE, &value));
	assert_int_equal(pages[3 * PAGE], 20); /* hidden, not lost */
	assert_all_taken();
	port_must_hide(AREA_AT, AREA);
	assert_false(get(AREA_AT + 7 * PAGE, &value));
	assert_all_taken();
	port_unreserve(AREA_AT, AREA);
	munmap(pages, AREA);
}

static void pages_may_be_shown_to_be_read(void **state)
{
	uint8_t *pages = shared_pages(MAP_SHARED), value;

	reserve();
	assert_int_equal(port_show(AREA_AT, pages, AREA, false), 0);
	assert_true(get(AREA_AT + AREA - 1, &value));
	assert_false(put(AREA_AT + AREA - 1, 1));
	pages[AREA - 1] = 3; /* through their own address they are as before */
	assert_true(get(AREA_AT + AREA - 1, &value));
	assert_int_equal(value, 3);
	port_unreserve(AREA_AT, AREA);
	munmap(pages, AREA);
}

static void what_cannot_be_shown_leaves_no_hole(void **state)
{
	uint8_t *pages = shared_pages(MAP_PRIVATE), value;

	reserve();
	assert_true(port_show(AREA_AT + 3 * PAGE, pages, 2 * PAGE, true) < 0);
	assert_all_taken();
	assert_false(get(AREA_AT + 3 * PAGE, &value));
	munmap(pages, AREA);
	assert_true(port_show(AREA_AT + 3 * PAGE, pages, PAGE, true) < 0);
	assert_all_taken();
	port_unreserve(AREA_AT, AREA);
}

static void faults_lead_elsewhere_or_go_away(void **state)
{
	static const uint64_t bad[] = { 1ull << 63, 1ull << 47, 0xffffull << 47, 1ull << 58 };
	uint8_t value;

	caught.page = shared_pages(MAP_SHARED);
	caught.page[3] = 9;
	reserve();
	for (unsigned n = 0; n < ARRAY_LEN(bad); n++) {
		assert_false(get(AREA_AT ^ bad[n], &value));
		assert_int_equal(caught.count, 1);
		assert_false(get_beside_rbp(AREA_AT ^ bad[n]));
		assert_int_equal(caught.count, 1);
		assert_true(caught.fault.address >> 47);
	}
	caught.goes_away = true;
	assert_true(get(AREA_AT + 3, &value));
	assert_int_equal(value, 9);
	assert_int_equal(caught.count, 1);
	caught.goes_away = false;
	port_unreserve(AREA_AT, AREA);
	munmap(caught.page, AREA);
}

static void room_follows_what_was_allocated(void **state)
{
	enum { BYTES = 3 * PAGE };
	const size_t room = 1ull << 32;
	uint8_t *memory = port_alloc_with_room(BYTES, room), value;
	uint64_t last = (uintptr_t)memory + BYTES + room - PAGE;

	reserve();
	assert_non_null(memory);
	memset(memory, 1, BYTES);
	assert_false(get((uintptr_t)memory + BYTES, &value));
	assert_int_equal(port_make_readonly(last, PAGE), 0);
	assert_false(get(last - 1, &value));
	assert_true(get(last + PAGE - 1, &value));
	assert_int_equal(value, 0);
	assert_false(put(last, 1));
	port_must_hide(last, PAGE);
	assert_false(get(last, &value));
	port_free_pages(memory, BYTES + room);
	port_unreserve(AREA_AT, AREA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserved_addresses_are_nobody_elses),
		cmocka_unit_test(shown_pages_are_the_same_pages),
		cmocka_unit_test(pages_may_be_shown_to_be_read),
		cmocka_unit_test(what_cannot_be_shown_leaves_no_hole),
		cmocka_unit_test(faults_lead_elsewhere_or_go_away),
		cmocka_unit_test(room_follows_what_was_allocated),
	};

	if (port_fault_init())
		return 1;
	sigaction(SIGSEGV, NULL, &ours[0]);
	sigaction(SIGBUS, NULL, &ours[1]);
	port_catch_faults(on_fault, &caught);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
