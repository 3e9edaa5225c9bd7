/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * A virtual CPU: everything a processor remembers, in one struct.
 *
 * Owned by the thread inside KVM_RUN. Other threads touch only `requests`
 * (vcpu_request), `running`, and what irqchip/ guards itself; ioctls on a vCPU
 * take `mutex`, which KVM_RUN holds.
 */
#ifndef ENGINE_VCPU_H
#define ENGINE_VCPU_H

#include "base/bits.h"
#include "base/lock.h"
#include "kvm_abi.h"

#include <setjmp.h>

enum gpr {
	RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
	GPR_ZERO, /* always 0: an effective address without base or index */
	GPR_BLOCK, /* RIP of the running block's first byte: base of RIP-relative addresses */
	GPR_SLOTS,
};

enum segment_register { ES, CS, SS, DS, FS, GS, LDTR, TR, SEGMENT_COUNT };

/* Access rights as VMX lays them out: descriptor bits 40-47 and 52-55. [SDM 3 24.4.1] */
enum {
	SEG_TYPE = 0x0f,
	SEG_ACCESSED = 0x01,
	SEG_WRITE = 0x02, /* data: writable; code: readable */
	SEG_DOWN = 0x04,  /* data: expand-down; code: conforming */
	SEG_CODE = 0x08,
	SEG_S = 0x10, /* code or data, not system */
	SEG_DPL_SHIFT = 5,
	SEG_DPL = 0x60,
	SEG_PRESENT = 0x80,
	SEG_AVL = 0x1000,
	SEG_LONG = 0x2000,
	SEG_BIG = 0x4000,
	SEG_GRANULAR = 0x8000,
	SEG_UNUSABLE = 0x10000, /* loaded with a null selector */
};

struct segment {
	uint64_t base;
	uint32_t limit; /* last valid byte, granularity applied */
	uint32_t rights;
	uint16_t selector;
};

struct table_register {
	uint64_t base;
	uint16_t limit;
};

/* RFLAGS bits. The six status flags live in struct flags while code runs. */
enum {
	F_CF = 1, F_1 = 2, F_PF = 4, F_AF = 0x10, F_ZF = 0x40, F_SF = 0x80, F_TF = 0x100,
	F_IF = 0x200, F_DF = 0x400, F_OF = 0x800, F_IOPL = 0x3000, F_NT = 0x4000,
	F_RF = 0x10000, F_VM = 0x20000, F_AC = 0x40000, F_VIF = 0x80000, F_VIP = 0x100000,
	F_ID = 0x200000,
	F_STATUS = F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF,
};

enum {
	CR0_PE = 1, CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_ET = 0x10, CR0_NE = 0x20,
	CR0_WP = 0x10000, CR0_AM = 0x40000, CR0_NW = 0x20000000, CR0_CD = 0x40000000,
};
#define CR0_PG 0x80000000u

enum {
	CR4_VME = 1, CR4_PVI = 2, CR4_TSD = 4, CR4_DE = 8, CR4_PSE = 0x10, CR4_PAE = 0x20,
	CR4_MCE = 0x40, CR4_PGE = 0x80, CR4_PCE = 0x100, CR4_OSFXSR = 0x200,
	CR4_OSXMMEXCPT = 0x400, CR4_UMIP = 0x800, CR4_LA57 = 0x1000, CR4_FSGSBASE = 0x10000,
	CR4_PCIDE = 0x20000, CR4_OSXSAVE = 0x40000, CR4_SMEP = 0x100000, CR4_SMAP = 0x200000,
	CR4_PKE = 0x400000, CR4_PKS = 0x1000000,
};

enum { EFER_SCE = 1, EFER_LME = 0x100, EFER_LMA = 0x400, EFER_NX = 0x800 };

enum vector {
	EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF, EXC_TS = 10,
	EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM,
};

/* Page-fault error code. [SDM 3 4.7] */
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_RESERVED = 8, PF_FETCH = 16, PF_KEY = 32 };

/*
 * Bits of vcpu.mode: what decoded code depends on, besides its bytes. Blocks are keyed by it.
 * Kept true by mode_update() after every change of CS, SS, DS, ES, CR0, CR4, EFER or CPL.
 */
enum {
	MODE_CODE32 = 1,   /* default operand and address size is 32 (else 16, unless MODE_CODE64) */
	MODE_CODE64 = 2,
	MODE_STACK32 = 4,  /* pushes use ESP (else SP, unless MODE_CODE64) */
	MODE_FLAT = 8,     /* 64-bit code, or CS, DS, ES, SS: base 0, limit 4 GiB, usable, writable;
			    * never together with MODE_ALIGN */
	MODE_USER = 0x10,  /* CPL 3 */
	MODE_PROTECTED = 0x20,
	MODE_VM86 = 0x40,
	MODE_LONG = 0x80,  /* EFER.LMA: IA-32e mode, compatibility mode included */
	MODE_STEP = 0x100, /* one instruction at a time: TF, guest debug, armed DR7, interrupt shadow */
	MODE_ALIGN = 0x200, /* CR0.AM, RFLAGS.AC and CPL 3: alignment is checked */
};

/* vcpu.requests: set by anyone, seen by the vCPU at the next block boundary. */
enum {
	REQUEST_EXIT = 1,       /* leave KVM_RUN with -EINTR, or look at what changed */
	REQUEST_EVENT = 2,      /* an interrupt, NMI, INIT or SIPI may be deliverable */
	REQUEST_TLB_FLUSH = 4,  /* drop all translations */
	REQUEST_CLOCK = 8,      /* rewrite the kvmclock page */
	REQUEST_TIMER = 16,     /* the LAPIC timer fired */
	REQUEST_SHUTDOWN = 32,  /* triple fault */
	REQUEST_CODE_FLUSH = 64, /* drop all decoded code: a slot it came from goes away */
};

/* Exceptions and interrupts on their way into the guest. */
struct event {
	uint8_t kind; /* enum event_kind */
	uint8_t vector;
	bool has_error;
	uint8_t length; /* of the INT instruction that a software event resumes behind */
	uint32_t error;
	uint64_t payload; /* CR2 of #PF, DR6 bits of #DB */
	bool payload_done; /* CR2 and DR6 hold it already */
};
enum event_kind { EVENT_NONE, EVENT_FAULT, EVENT_TRAP, EVENT_SOFTWARE, EVENT_INTERRUPT, EVENT_NMI,
		  EVENT_INT1 /* as EVENT_SOFTWARE, but the gate's DPL is not checked */ };

/* Lazy status flags: see interp/flags.h. */
struct flags {
	int64_t result;
	uint64_t carries;
};

/* A translation: guest page -> host page, for one privilege view. See mmu/tlb.c. */
struct tlb_entry {
	_Alignas(32) uint64_t read; /* the page, when that access may go straight through */
	uint64_t write;
	uint8_t *host;              /* of the page's first byte; NULL: never used */
	uint64_t addend;            /* host less page */
};
enum { TLB_ENTRIES = 4096, TLB_SPACES = 8, TLB_USED = 4000, TLB_KEYED = 32 };
enum { CODE_PAGES = 2048, JIT_TARGETS = 1 << 16, JIT_KEY_MODE_BITS = 27 };
enum tlb_view { VIEW_KERNEL, VIEW_KERNEL_AC, VIEW_USER, VIEW_COUNT }; /* _AC: RFLAGS.AC lifts SMAP */

/* Entries that may be in use. */
struct tlb_list {
	unsigned count; /* more than TLB_USED: not listed */
	uint16_t entry[TLB_USED];
};

/* What is known of one address space. */
struct tlb_space {
	unsigned pcid;
	enum { SPACE_GOOD, SPACE_STALE, SPACE_VOID } state; /* then all but global entries, or those
							     * too, go before its next use */
	int user_ticks, back_off; /* mmu/window.c, of the program with this root */
	uint64_t root;
	uint64_t code_epoch; /* interp/block.c */
	bool has_code_pages; /* some of these are set: jit/pages.c */
	const struct page_identity *code_pages[CODE_PAGES];
	struct tlb_list used[2]; /* [1]: entries that are or were global */
	struct tlb_note {
		bool is_global;
		uint8_t listed; /* in which of `used`, a bit for each */
	} note[VIEW_COUNT * TLB_ENTRIES];
	struct tlb_entry view[VIEW_COUNT][TLB_ENTRIES];
};

/* Which entries, of all spaces, may let a page be written; for all pages with the same hash. */
enum { WRITER_LISTS = 8192, LISTED_WRITERS = 3 };
struct tlb_writers {
	uint32_t count; /* more than LISTED_WRITERS: not listed */
	uint32_t entry[LISTED_WRITERS];
};

/* MMIO and PIO an unfinished instruction has already done: see mmu/io.h. */
struct io_entry {
	uint64_t address;
	uint64_t value;
	uint8_t size;
	bool is_write, is_port;
};
enum { IO_LOG_ENTRIES = 16 };

/* The XSAVE area in standard format, host layout, x87 to PKRU. */
enum { XSAVE_BYTES = 4096 };

/* Kinds of vector instructions, by what of the registers they may change. */
enum vector_level { VECTORS_NONE, VECTORS_SSE, VECTORS_AVX, VECTORS_AVX512, VECTOR_LEVELS };

struct msr_state {
	uint64_t star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, misc_enable, debugctl, tsc_adjust, spec_ctrl, arch_capabilities, xss;
	uint64_t mtrr_default, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
	uint64_t mcg_cap, mcg_status, mcg_ctl, mce[32 * 4];
	uint64_t smbase, smi_count, microcode, feature_control;
	uint64_t kvm_wall_clock, kvm_system_time, kvm_steal_time, kvm_pv_eoi, kvm_poll_control;
	uint64_t kvm_async_pf, kvm_async_pf_int, kvm_migration_control;
	uint64_t platform_info, misc_features, pkrs;
};

struct insn;
struct vm;
struct lapic;
struct block_cache;
struct jit;
struct jit_block;
struct jit_link;
struct window;
struct fpu_stubs;

struct vcpu {
	/* Hot: what nearly every instruction touches. */
	uint64_t gpr[GPR_SLOTS];
	struct flags flags;
	const struct insn *insn; /* the one being executed, for RIP and fault reports */
	uint32_t rflags;         /* all but the status flags; use rflags_get/set */
	uint32_t mode;           /* MODE_* */
	uint64_t rip;            /* of the current instruction when not inside a block */
	struct tlb_entry *tlb_now; /* the view data accesses use: space->view[] */
	struct tlb_entry *tlb_by_ac[2]; /* what that is at CPL 0 without and with RFLAGS.AC */
	/* The page the stack was last found in, for translated code: hits below the limit. */
	uint64_t stack_page, stack_limit;
	uint8_t *stack_host;
	uint64_t stack_addend;
	uint32_t requests;       /* atomic */
	uint8_t cpl;
	uint8_t link;            /* interp/: how the block was left, 0 for most handlers */

	struct segment seg[SEGMENT_COUNT];
	struct table_register gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
	uint8_t cr8;    /* without in-kernel LAPIC; else it is the LAPIC's: cr8_read() */
	uint64_t dr[8]; /* dr[4], dr[5] unused */
	uint64_t pdptr[4];
	struct msr_state msr;

	/* Unwinding: faults and exits jump to the run loop. Registers are as before the
	 * instruction: handlers commit only after their last memory access. */
	jmp_buf unwind;
	bool can_unwind;
	struct event raised;     /* by the instruction, to be delivered */
	struct event injected;   /* being delivered (KVM: "injected"); delivery is restartable */
	bool nmi_pending, nmi_masked, smi_pending;
	bool shadow_sti, shadow_mov_ss; /* interrupts wait for one instruction */
	bool shadow_ending; /* the shadow covers the instruction now stepped: sys/debug.c */
	bool step_done;     /* this instruction's single-step trap is taken or not due: sys/debug.c */
	bool rf_loaded;     /* this instruction set RFLAGS.RF for the next one: sys/debug.c */
	bool halted_by_mwait;
	uint64_t pending_debug; /* DR6 bits of a trap due after this instruction */

	/* I/O. */
	struct io_entry io_log[IO_LOG_ENTRIES];
	uint8_t io_done;    /* entries in the log */
	uint8_t io_next;    /* how many of them this execution has replayed */
	bool io_waiting;    /* the last exit was MMIO or PIO; its answer is in `run` */
	bool exit_ready;    /* run->exit_reason is set: leave KVM_RUN */
	uint16_t ports_wanted; /* elements of a string IN the VMM was asked for */
	uint16_t ports_ready; /* elements of a string IN that wait in the PIO page */
	uint64_t io_rip;    /* RIP at the last exit: of an instruction that is not finished */
	int run_result;     /* with exit_ready: what KVM_RUN returns, 0 or -errno */
	bool split_held;    /* vm->split_lock is ours */

	/* Identity, ABI. */
	struct vm *vm;
	uint32_t index, id;
	struct lock mutex;  /* KVM_RUN and every vCPU ioctl */
	struct kvm_run *run;
	bool running;       /* atomic: in KVM_RUN (but not asleep) or another ioctl: may hold
			     * translations and pointers into memory slots */
	uint32_t mp_state;  /* KVM_MP_STATE_* */
	/* An interrupt or NMI waits for IF, the end of a shadow or IRET: whoever opens that window
	 * (STI, POPF, IRET, MOV CR8, ...) then sets REQUEST_EVENT. Written by the run loop. */
	bool event_waiting;
	uint32_t sleeping;  /* atomic: in HLT, to be woken through `run` (api/run.c) */
	bool user_interrupt_queued; /* KVM_INTERRUPT without in-kernel irqchip */
	uint8_t user_interrupt;
	struct kvm_guest_debug debug;
	bool has_signal_mask;
	uint64_t signal_mask;
	struct port_timer *signal_timer; /* makes KVM_RUN look for signals the mask lets in */

	/* CPUID as set by the VMM, and what decode asks of it. */
	struct kvm_cpuid_entry2 cpuid[256];
	uint32_t cpuid_count;
	uint8_t physical_bits; /* MAXPHYADDR */
	uint64_t features[8]; /* bit numbers: enum feature, sys/features.h */

	/* Time. guest TSC = scale(host TSC) + tsc_offset. */
	uint64_t tsc_offset, tsc_scale; /* scale: 32.32 fixed point */
	uint32_t tsc_khz;
	uint64_t tsc_deadline;
	uint64_t steal_ns, steal_base_ns, left_run_at_ns; /* steal time: irqchip/pv.c */
	bool looks_preempted; /* so it says in the guest's memory */

	struct tlb_space *space, *spaces; /* the current one of TLB_SPACES */
	unsigned next_space;              /* to be given to a new PCID */
	struct tlb_writers *writers;      /* WRITER_LISTS */
	/* Entries of user pages whose protection key is not 0, and which keys: mmu/tlb.c. */
	struct { struct tlb_space *space; unsigned entry; } keyed[TLB_KEYED];
	unsigned keyed_count; /* more than TLB_KEYED: not listed */
	uint16_t keys;
	struct tlb_entry no_translations[TLB_ENTRIES]; /* for when every access must be looked at */
	/* Pages at the guest's own addresses: mmu/window.h. */
	bool has_window_table;
	struct window *window;              /* NULL: never */
	const struct tlb_space *window_space; /* whose they are, while CR3 leads to window_root; */
	uint64_t window_root;
	bool window_is_stale;               /* its translations were flushed */
	bool windowed;                      /* and so translated code uses them now */
	uint64_t window_page;               /* a place in our process where nothing was; 0: none */
	/* Where RSP, FS' base and RIP were found good: by WINDOW_GRANULE_SHIFT. */
	uint64_t window_stack, window_fs, window_code;
	uint64_t large_pages[2][64], huge_pages[2]; /* Bloom bits of 2M and 1G pages in the TLB, of
						     * each half of the addresses: mmu/tlb.c */
	/* Shortcuts to decoded code are good in the epoch they were made in: [1] is for the upper
	 * half of linear addresses, which address spaces share while its pages are global. */
	uint64_t code_epoch[2];
	bool upper_code_is_local;
	struct block_cache *blocks; /* interp/ */
	struct fpu_stubs *stubs;    /* fpu/ */
	struct lapic *lapic;        /* NULL without in-kernel LAPIC */
	uint64_t apic_base;         /* IA32_APIC_BASE; written by this vCPU, read by senders: irqchip/ */
	bool clock_paused;          /* KVM_KVMCLOCK_CTRL: told to the guest with the next update */
	bool x87_live;              /* the host's x87 unit holds the guest's state: fpu/ */
	/* It does, CR0 lets x87 instructions be, and no exception is unmasked: they may simply run. */
	bool x87_direct;
	bool x87_status_ahead;      /* translated ones did: the status word may be in the unit only */
	bool wide_used;             /* masks and what is beyond YMM may differ from zero: fpu/ */
	_Alignas(64) uint8_t xsave[XSAVE_BYTES];

	/* The translator's, see jit/internal.h. */
	struct jit *jit;             /* NULL: interpreter only */
	uint64_t jit_flags, jit_scratch, jit_looked_up;
	/* Indirect jumps, see jit/indirect.c: where they go, by the low bits of their target ([1]: in the
	 * window); where that is looked up; the last target that was not found, and what to do then, as an
	 * offset of code. */
	const uint8_t *jit_target[2][JIT_TARGETS];
	struct jit_block **jit_jump;
	uint64_t jit_missed;
	uint32_t jit_on_miss;
	uint64_t jit_key[2];          /* of each half of the addresses: code_epoch and mode */
	const struct page_identity **jit_pages[2];      /* space->code_pages, upper_code_pages */
	const struct page_identity *upper_code_pages[CODE_PAGES];
	bool open_pages_are_stale;    /* code_epoch changed */
	uint32_t code_changes;        /* vm.code_changes when they were looked at */
	uint64_t jit_returns, jit_returns_end; /* translated code's own stack, and its last place */
	uint64_t jit_stack, jit_resume;        /* that of C meanwhile; jit.crowded */
	struct jit_link *jit_link;   /* the exit last taken, if it can be linked */
	/* For code that is not flat: which base and limit CS has, 0 if it is; and how many bytes from
	 * a segment's base on may be read and written without further looks. */
	uint16_t code_segment;
	uint64_t segment_room[6][2];
	uint8_t plain_segments; /* a bit for each whose rights real-mode code does not change */
	uint32_t jit_epoch;          /* raised by jit_flush: older translations are gone */
	/* enum vector_level: of the guest's vector registers now in the host's (xsave is stale then);
	 * and which instructions neither #UD nor #NM: mode_update(), XCR0. */
	uint8_t jit_vectors, jit_vectors_ok;
	bool jit_stop;               /* leave translated code after this instruction */

	/* Statistics, for api/counters.c. */
	uint64_t count_insns, count_blocks, count_decoded, count_code_flushes, count_drops;
	uint64_t count_tlb_misses, count_tlb_fills, count_tlb_flushes, count_slow_accesses;
	uint64_t count_code_writes;
	uint64_t count_windows, count_window_pages, count_window_faults, count_window_looks;
	uint64_t count_faults[32], count_events[8],
		count_exits[64]; /* vector, EVENT_*, KVM_EXIT_* */
	uint64_t count_pauses;
};

/* Behind a vCPU comes its table of the window; GS-relative addresses of translated code count from there. */
#define VCPU_BYTES ALIGN_UP(sizeof(struct vcpu), PAGE_BYTES)

/* What translated code depends on: a bit beside those of vcpu.mode for the window. */
enum { JIT_WINDOWED = 0x400 };

static inline uint32_t jit_mode(const struct vcpu *c)
{
	return c->mode | (c->windowed ? JIT_WINDOWED : 0) | (uint32_t)c->code_segment << 16;
}

static inline uint64_t window_root_now(const struct vcpu *c) /* CR3 without PCID or cache bits */
{
	return c->cr3 & PAGE_MASK;
}

static inline bool vcpu_has_window(const struct vcpu *c)
{
	return c->window_space && c->window_space == c->space && c->mode & MODE_USER &&
	       c->mode & MODE_CODE64 && c->tlb_now == c->space->view[VIEW_USER] &&
	       c->window_root == window_root_now(c);
}

/* After a change of mode, code_epoch, address space or view. */
static inline void jit_key_update(struct vcpu *c)
{
	c->windowed = vcpu_has_window(c);
	for (unsigned half = 0; half < 2; half++)
		c->jit_key[half] = c->code_epoch[half] << JIT_KEY_MODE_BITS | (uint64_t)c->code_segment << 11 |
				   (c->windowed ? JIT_WINDOWED : 0) | c->mode;
}

/*
 * VCPU_KICK: a byte of kvm_run's padding, behind immediate_exit so that translated code sees both at
 * once. Whoever sets `requests`, or changes code that others may be running, sets it afterwards.
 */
enum { VCPU_KICK = offsetof(struct kvm_run, immediate_exit) + 1 };

static inline void vcpu_kick(struct vcpu *c)
{
	__atomic_store_n((uint8_t *)c->run + VCPU_KICK, 1, __ATOMIC_SEQ_CST);
}

static inline bool vcpu_is_kicked(const struct vcpu *c)
{
	return __atomic_load_n((uint8_t *)c->run + VCPU_KICK, __ATOMIC_RELAXED);
}

/* By the vCPU itself. False: there are requests. */
static inline bool vcpu_take_kick(struct vcpu *c)
{
	__atomic_store_n((uint8_t *)c->run + VCPU_KICK, 0, __ATOMIC_SEQ_CST);
	if (likely(!__atomic_load_n(&c->requests, __ATOMIC_SEQ_CST)))
		return true;
	vcpu_kick(c);
	return false;
}

/* Thread-safe: sets request bits and wakes or interrupts the vCPU. */
void vcpu_request(struct vcpu *c, uint32_t bits);

static inline bool in_long_mode(const struct vcpu *c)
{
	return c->mode & MODE_LONG;
}

/* Which of the two epochs: 1 for where systems have their kernel. */
static inline unsigned code_half(const struct vcpu *c, uint64_t address)
{
	return address >> (c->mode & MODE_LONG ? 63 : 31) & 1;
}

static inline bool code_is_64bit(const struct vcpu *c)
{
	return c->mode & MODE_CODE64;
}

#endif
