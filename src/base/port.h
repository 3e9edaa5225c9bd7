/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * What the engine asks of whatever it runs in: a process (src/host/port.c) or,
 * later, a kernel. Nothing else in src/engine reaches outside.
 */
#ifndef BASE_PORT_H
#define BASE_PORT_H

#include "base/bits.h"

/* Zeroed memory, NULL when there is none. */
void *port_alloc(size_t bytes);
void port_free(void *memory);
/* Zeroed on first touch, page-aligned, never backed before it is touched. */
void *port_alloc_pages(size_t bytes);
void port_free_pages(void *memory, size_t bytes);
void port_forget_pages(void *pages, size_t bytes); /* of one: they read as zeros, the host has them back */

/* Pages that can have a second address: port_share_page makes the page at `page` the one at `as`.
 * Both must lie in port_alloc_shared areas. Freed by port_free_pages. Below and close to `near`, if
 * that is not NULL and there is room. */
void *port_alloc_shared(size_t bytes, const void *near);
int port_share_page(void *page, void *as); /* 0 or -errno */

/*
 * Addresses of one's own choosing. Reserved, they belong to nobody else; pages of a shared mapping
 * can be shown there, to be read or also written, and hidden again.
 */
int port_reserve(uint64_t address, size_t bytes); /* 0 or -errno: -EEXIST if part of it is in use */
void port_unreserve(uint64_t address, size_t bytes);
/* 0 or -errno: then they are hidden, or, of the last two, as they were. */
int port_show(uint64_t address, void *pages, size_t bytes, bool writable);
int port_make_readonly(uint64_t address, size_t bytes);
int port_hide(uint64_t address, size_t bytes);
void port_must_hide(uint64_t address, size_t bytes); /* all that was reserved: it frees resources */
/* As port_alloc_pages(bytes), and behind those as much is reserved; zeros where port_make_readonly() is
 * used there. Freed whole. */
void *port_alloc_with_room(size_t bytes, size_t room);

/* An access of the calling thread's to an address where there is nothing, or not that. */
struct port_fault {
	const uint8_t *pc;
	uint64_t address; /* UINT64_MAX: the processor did not say */
	bool is_write;
};
/* Returns where the thread goes on; NULL: the fault is not ours. Runs as a signal handler does. */
typedef const uint8_t *port_fault_fn(void *context, const struct port_fault *fault);
int port_fault_init(void); /* once in a process; 0 or -errno */
void port_catch_faults(port_fault_fn *fn, void *context); /* of this thread, from now on */

/*
 * Memory for generated code, mapped twice (W^X): write through one, run through the other.
 * `profiled`: in the one way in which a profiler looks for its names elsewhere (perf's map), which a
 * host that is strict about memory made executable may refuse.
 */
struct port_code {
	uint8_t *write;
	const uint8_t *run;
	size_t size;
};
enum { PORT_HUGE_PAGE = 2 << 20 };
int port_code_alloc(struct port_code *code, size_t size, bool profiled); /* 0 or -errno */
/* So much at that multiple of it will run for long: as one page, if the host can. Takes 2 ms. */
void port_code_join(const struct port_code *code, size_t offset);
void port_code_free(struct port_code *code);

/* What GS-relative addresses of generated code count from, on this thread. */
void port_set_thread_base(void *base);

uint64_t port_now_ns(void);  /* monotonic */
uint64_t port_wall_ns(void); /* since 1970, UTC */
/* How long the calling thread has waited for a processor in all; 0 where the host won't say. */
uint64_t port_run_delay_ns(void);
uint64_t port_tsc(void);     /* the host's time-stamp counter */
uint32_t port_tsc_khz(void); /* of the host's TSC, measured once */
void port_random(void *to, size_t bytes);

/*
 * Sleeps while *word == expected, until port_wake() or deadline_ns (monotonic; UINT64_MAX: none).
 * 0 when woken or the value differs, -ETIMEDOUT, or -EINTR after a signal handler ran.
 */
int port_wait(uint32_t *word, uint32_t expected, uint64_t deadline_ns);
void port_wake(uint32_t *word); /* all sleepers */
void port_relax(void);          /* one turn of a spin loop */
void port_yield(void);

/* True if a signal that `unblocked_mask` (64 bits, KVM_SET_SIGNAL_MASK) lets in is pending. */
bool port_signal_pending(uint64_t blocked_mask);

/* One-shot timers; `fire` runs on a thread of the port's own. Stopping waits for a running `fire`. */
struct port_timer;
struct port_timer *port_timer_new(void (*fire)(void *context), void *context);
void port_timer_arm(struct port_timer *timer, uint64_t deadline_ns); /* moves an armed one */
void port_timer_stop(struct port_timer *timer);
void port_timer_free(struct port_timer *timer);

/* eventfds handed to us by KVM_IRQFD and KVM_IOEVENTFD. The descriptor is duplicated by `get`. */
struct port_event;
int port_event_get(int fd, struct port_event **event); /* 0 or -errno */
void port_event_put(struct port_event *event);
void port_event_signal(struct port_event *event, uint64_t count);
/* `fire` runs on a thread of the port's own each time the event was signalled and drained. */
int port_event_watch(struct port_event *event, void (*fire)(void *context), void *context);

/* Copies that survive an unmapped host address (KVM's copy_from_user): 0 or -EFAULT. */
int port_copy(void *to, const void *from, size_t bytes);

void port_log(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
