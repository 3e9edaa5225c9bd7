/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * Inside the translator.
 *
 * Host registers: RAX RCX RDX RBX RBP RSI RDI R8 R12 hold the guest's of the same name, R9-R11 the
 * guest's R13-R15, R13 the guest's RSP. R14 and R15 are ours; the guest's R9-R11 stay in vcpu.gpr. RSP
 * is a stack of our own, which holds nothing but ways back (exits.c), GS the vCPU.
 */
#ifndef JIT_INTERNAL_H
#define JIT_INTERNAL_H

#include "engine/decode/ops.h"
#include "engine/jit/emit.h"
#include "engine/jit/jit.h"
#include "base/port.h"

#define GS(member) at_gs(offsetof(struct vcpu, member))

enum { T0 = H_R14, T1 = H_R15, GUEST_RSP = H_R13, JUMP_BITS = 16,
       JUMP_ENTRIES = 1 << JUMP_BITS, RIP_BITS = 16,
       CACHE_BYTES = 128 << 20, COLD_AT = CACHE_BYTES / 2,
       MAX_BLOCKS = 1 << 19, MAX_FAULTS = 1 << 20, MAX_SINGLES = 1 << 20, MAX_LINKS = 1 << 21,
       CODE_PAGE_BITS = 11, MAX_IDENTITIES = 1 << 15,
       ROOM_FOR_ONE = 48 << 10, MAX_LEAVES = 192, MAX_GROUPS = 32, MAX_SLOW = 192,
       THUNK_BYTES = 16 << 10 };

/* The stack of translated code: a page that is not there, room for signal handlers, the ways back. */
enum { STACK_GUARD = PAGE_BYTES, STACK_ROOM = 256 << 10, RETURNS = 4096,
       STACK_BYTES = STACK_GUARD + STACK_ROOM + 8 * RETURNS, PROBE_BYTES = 8 };

enum { CODE_SEGMENTS = 2048, NO_CODE_SEGMENT = 0xffff };

/* Spreads targets over the table of them: the low half of RIP times this, its top bits. */
#define JUMP_FACTOR 0x9e3779b1u

/* An instruction the interpreter does for us: as decoded, and a stop behind it. */
struct jit_single {
	struct insn insn[2];
	uint64_t block_rip;
	bool is_untranslated; /* else: on a slow path of its translation */
};

struct jit_link {
	uint8_t *place;       /* the 4-byte displacement, writable view */
	uint64_t target;
	const uint32_t *page_code; /* of the block it leaves */
	bool flags_in_host;
	bool forward; /* towards higher addresses: no loop can consist of such exits alone */
	bool is_far;  /* to another page; good while that page has this identity */
	enum vector_level vectors; /* in the host's certainly */
	uint32_t mode;
	const struct page_identity *identity;
	uint64_t key; /* the identity was found right when vcpu.jit_key was this */
	const uint8_t *stub;   /* where it leads until it is linked, and while its page is closed */
	/* In page_identity.links, what leads to it there; and where it leads while that page is open. */
	struct jit_link *next, **from;
	const uint8_t *aim;
};

struct jit_block {
	uint64_t rip, linear;
	uint32_t mode, stamp;
	const uint32_t *page_code;
	/* Of an instruction that crosses pages: the second page and what it has to be; NULL of others. */
	const struct page_identity *identity2;
	const uint32_t *page2_code;
	uint32_t stamp2;
	enum vector_level vectors;  /* what it needs of the vector registers in the host's */
	bool needs_flags;           /* some status flags, on entry */
	/* Where to go in, each falling into the next: from anywhere, with the right mode and linear
	 * address; from the same page; with vector registers there; and with no need to look whether
	 * somebody wants the vCPU. Flags are in vcpu.jit_flags if they are needed. */
	const uint8_t *entry_any, *entry, *entry_vectors, *entry_forward;
	const uint8_t *entry_flags; /* as `entry`; flags are in EFLAGS */
	struct jit_block *chain; /* jit.by_rip */
	/* Once it was arrived at: what its page is, good while vcpu.jit_key is this or that is in the
	 * page's slot (pages.c). In bytes: its half of the addresses, and the slot. */
	const struct page_identity *identity;
	uint64_t key, half, slot;
	const uint8_t *arrival; /* for indirect jumps; else jit.jump_missed */
	const uint8_t *arrival_at; /* it is here, if there is one */
	struct jit_block *next_arrival; /* page_identity.arrivals */
};

/* pages.c */
struct page_identity {
	uint64_t page;
	const uint32_t *page_code;
	uint32_t mode;
	struct page_identity *chain;
	/* open.c: what leads there without a look while it is open, to blocks of this stamp. */
	bool is_open;
	uint32_t stamp;
	struct jit_link *links;
	struct jit_block *arrivals;
};

/* In code that uses the window: offsets in the cache, ascending. Where to go on after a fault there:
 * window_fault(). */
struct fault_range {
	uint32_t from, to, slow, closed;
};

struct jit {
	struct port_code code;
	struct fault_range *faults;
	unsigned fault_count;
	size_t used, after_thunks; /* what runs often */
	size_t cold_used;          /* and from COLD_AT on, what seldom does */
	size_t joined, cold_joined; /* up to where port_code_join() was used */
	uint8_t *stack;
	/* T0: as vcpu.jit_on_miss, T1: RIP; [1]: in the window; and in either. */
	const uint8_t *return_missed[2], *returned_nowhere;
	const uint8_t *crowded;       /* drops all ways back and goes to vcpu.jit_resume */
	const uint8_t *enter, *leave, *leave_rip, *leave_stopped, *single_thunk, *stack_thunk;
	/* To be called; loading returns carry if it may not be, and overwrites T1 and EFLAGS. */
	const uint8_t *vectors_load[VECTOR_LEVELS], *vectors_load_all, *vectors_spill;
	struct jit_block *blocks;
	unsigned block_count;
	struct jit_block *by_rip[1 << RIP_BITS]; /* what is not superseded: jit_find() */
	struct jit_single *singles;
	unsigned single_count;
	struct jit_link *links;
	unsigned link_count;
	struct jit_counters counters;
	struct jit_block *jump[JUMP_ENTRIES], nowhere; /* what was reached last, by RIP; nothing */
	const uint8_t *jump_other[2], *jump_missed; /* T1: RIP; [1]: in the window */
	unsigned code_segments;
	struct code_segment { uint32_t base, limit; bool used; } code_segment[CODE_SEGMENTS];
	unsigned identity_count;
	struct page_identity identities[MAX_IDENTITIES];
	unsigned open_count;
	struct page_identity *open[MAX_IDENTITIES];
	struct page_identity *identity_hash[CODE_PAGES];
};

/* From the writable view to the other. */
static inline int64_t run_delta(const struct jit *jit)
{
	return jit->code.run - jit->code.write;
}

static inline bool is_in_window(const struct jit_block *block)
{
	return block->mode & JIT_WINDOWED;
}

static inline unsigned jump_index(uint64_t rip)
{
	return (uint32_t)rip * JUMP_FACTOR >> (32 - JUMP_BITS);
}

/* What is known of the host's registers between two instructions. */
struct flag_state {
	bool in_host, in_memory, x87_checked;
	enum vector_level vectors;
};

/* keep.c: instructions that share a check. */
struct group {
	unsigned first, last; /* steps */
	unsigned size;        /* of the range that was checked */
	uint8_t *from[2];     /* jumps taken if it is not in one page that is known */
	unsigned froms;
	const uint8_t *stack_resume; /* of ranges on the stack: where T0 is the offset in its page */
	const uint8_t *resume;       /* behind the last */
	struct flag_state before, behind;
};

/* translate.c */
struct translator {
	struct emitter e;
	struct vcpu *c;
	struct jit *jit;
	const struct jit_source *source;
	struct jit_block *block;
	unsigned word; /* bytes of a near pointer and of a stack slot: 8, or 4 in flat 32-bit code */
	bool segmented;
	uint32_t code_base;
	bool flags_in_host, flags_in_memory;
	const uint8_t *flags_saved_at; /* where they last got to memory */
	uint16_t live_after; /* status flags somebody will read after the current instruction */
	uint16_t live_before;
	enum vector_level vectors; /* certainly in the host's here */
	struct leave_at { uint8_t *place; uint64_t rip; } leave_at[MAX_LEAVES]; /* jumps out, mid-block */
	unsigned leave_at_count;
	/* All parts' instructions, and the current one. */
	struct step {
		const struct insn *insn;
		uint64_t rip;   /* of its part */
		uint64_t next;  /* of the part behind it, or 0: its part or the block goes on or ends */
		bool is_last;   /* in its part */
		uint16_t live;  /* flags before it */
	} step[JIT_INSNS + 1];
	unsigned step_count, now;
	uint64_t rip; /* the current part's */
	unsigned insn_start;
	/* All from `low` to `high` beside the base register, counted from where that was then, is in one
	 * page. T0 is in 64-bit code what beside_base() wants, else the host's address of `low`. */
	struct keep {
		struct group *group; /* NULL: it is not */
		unsigned base;
		int32_t low, high, moved;
		bool write, used;
	} keep;
	struct group group[MAX_GROUPS];
	unsigned group_count;
	bool may_keep, is_copy;
	/* window.c: guest registers that were looked up, and by how much they have moved since; those
	 * that are small numbers; the last granule that was looked up for a constant. */
	bool window, window_constants, window_late, window_stack_seen, window_stack_proven;
	int32_t window_stack_at;
	uint32_t window_good, window_constant, window_small;
	int32_t window_moved[16];
	bool is_last; /* the current instruction is its part's last */
	bool x87_checked; /* x87 instructions may simply run here */
	uint64_t x87_rip; /* of one that ran, not in the vCPU yet; 0: none */
	/* Out-of-line pieces of exits. */
	struct link_stub {
		struct jit_link *link;
		uint8_t *place, *stale; /* jumps that lead here */
		bool push_flags;
	} stub[2 * (2 * JIT_PARTS + 1)]; /* copies have their own */
	unsigned stubs;
	struct far_jump {
		uint8_t *from;
		uint64_t target;
		bool in_host, in_memory;
		enum vector_level vectors;
	} far_jump[2 * JIT_PARTS];
	unsigned far_jumps;
	/* Calls that find no room for the way back, and where they go on; copies have their own. */
	struct { uint8_t *from; const uint8_t *resume; } crowded[2];
	unsigned crowds;
	struct { uint8_t *place; uint64_t rip; } back[2]; /* to be compared with */
	unsigned backs;
	uint8_t *leave[8]; /* jumps of the entry's checks */
	unsigned leaves;
	uint8_t *vectors_missing; /* the entry's jump */
	struct slow_path *slow;
	unsigned slow_count;
};

struct slow_path {
	uint8_t *from[8];   /* jumps that lead here */
	unsigned froms;
	/* Jumps for stack accesses not in the page of the last one, and where they come back. */
	uint8_t *stack_from[2];
	const uint8_t *stack_resume[2];
	unsigned stacks;
	const uint8_t *resume;
	struct jit_single *single;
	bool flags_to_host; /* the fast path continues with flags in EFLAGS */
	enum vector_level vectors; /* and with these there */
	uint64_t rip_behind;
	/* window.c: accesses may fault, and looks; with flags in EFLAGS alone then, up to `split` (NULL: all
	 * of them). The instruction's code. */
	bool may_fault, may_be_closed, flags_only_in_host;
	const uint8_t *begin, *split, *end;
	/* An indirect jump: where it says what to do if its target is not known. */
	uint8_t *missed;
	int32_t moved; /* RSP */
	bool is_x87;      /* go on only if such may simply run then */
	uint64_t x87_rip; /* to be stored first; 0: nothing */
};

/* Translates one instruction natively; false: what was emitted does not count. */
bool native_insn(struct translator *t, const struct insn *i, const struct op_info *info);

/* native.c: what to encode of an instruction. */
struct plan {
	struct encoding encoding;
	unsigned extension; /* ModRM.reg when it is no operand */
	bool has_reg;
	uint8_t imm_bytes;
	bool reads_flags, writes_flags;
};
struct plan plan_for(const struct translator *t, const struct insn *i, const struct op_info *info);
bool encode_planned(struct translator *t, const struct insn *i, const struct op_info *info,
		    const struct plan *p);
bool is_high_byte(const struct insn *i, const struct op_info *info);
void write_imm(struct translator *t, const struct insn *i, unsigned bytes);

/* Shared pieces: translate.c. */
enum { ALL_FLAGS = F_STATUS };
void need_flags_in_host(struct translator *t); /* T1 is overwritten */
void need_flags_in_memory(struct translator *t); /* T0 is overwritten */
void keep_flags(struct translator *t, unsigned temp); /* so that they are in memory */
void clobber_flags(struct translator *t); /* ours are about to overwrite EFLAGS; T0 is overwritten */
void flags_now_in_host(struct translator *t);
/* Leaves translated code for `rip` if the condition holds; flags are in memory. */
void leave_for(struct translator *t, enum condition condition, uint64_t rip);
uint64_t insn_end(const struct translator *t, const struct insn *i);
uint64_t branch_target(const struct translator *t, uint64_t offset);
uint64_t relative_target(const struct translator *t, const struct insn *i); /* of a branch */

/* keep.c: the memory operand, beside T0 and what the instruction names. EFLAGS and T1 may be
 * clobbered. */
struct host_memory host_operand(struct translator *t, const struct insn *i, unsigned size, bool write);
struct host_memory host_operand_of_stack(struct translator *t, int32_t offset, unsigned size,
					 bool write);
/* Its address in T0. EFLAGS are clobbered, T1 too. */
void host_address(struct translator *t, const struct insn *i, unsigned size, bool write);
void keep_before(struct translator *t); /* each step, and behind it */
void keep_behind(struct translator *t, bool has_slow_path);
void keep_emit_copies(struct translator *t);

/* plain.c: writes no general register but its operands, the accumulator, and RSP by a constant. */
bool insn_is_plain(const struct insn *i, const struct op_info *info);
uint32_t gprs_written(const struct insn *i, const struct op_info *info); /* if so: may write, as bits */

/* By how much it moves RSP, which it writes. False: who knows. */
bool rsp_moves(const struct translator *t, const struct insn *i, const struct op_info *info, int32_t *by);

/* window.c */
void window_begin(struct translator *t);
void window_behind(struct translator *t, bool interpreted); /* each instruction that goes on to the next */
/* Its memory operand is to be found so, and is, as host_operand() would have it. */
bool window_takes(const struct translator *t, const struct insn *i);
struct host_memory window_operand(struct translator *t, const struct insn *i);
struct host_memory window_operand_of_stack(struct translator *t, int32_t offset);
void window_emit_faults(struct translator *t, const struct slow_path *s);

/* translate.c */
void call_single(struct translator *t, struct jit_single *single); /* T1 */
void translate_step(struct translator *t, unsigned k);

/* address.c */
bool is_addressable(const struct translator *t, const struct insn *i);
/* What host_operand() and its like do, without keep.c. */
struct host_memory check_operand(struct translator *t, const struct insn *i, unsigned size, bool write);
struct host_memory check_stack_operand(struct translator *t, int32_t offset, unsigned size, bool write);
/* In 64-bit code, with T0 what the host's addresses are above the guest's there; for a base in
 * memory, above the displacement. */
struct host_memory beside_base(unsigned base, int32_t disp);
void check_address(struct translator *t, const struct insn *i, unsigned size, bool write);
void check_stack_address(struct translator *t, int32_t offset, unsigned size, bool write);
/* T0 has the linear address; afterwards the host's. The jump is taken if it is not in the TLB. */
uint8_t *check_tlb(struct translator *t, unsigned size, bool write);
/* Its look alone: T0 is the offset in the page then, T1 the entry. */
uint8_t *emit_tlb_look(struct emitter *e, unsigned size, bool write);
/* A range of g->size bytes, and T0 as struct keep has it. EFLAGS and T1 are clobbered. */
void check_range(struct translator *t, struct group *g, unsigned base, int32_t low, bool write);
void host_address_of_linear(struct translator *t, unsigned size, bool write); /* it is in T0 */
/* To the slow path if the jump is taken. */
void slow_if(struct translator *t, enum condition cc);
void host_address_of_frame(struct translator *t, const struct insn *i); /* [RBP], 8 bytes, read */
/* The linear address in `to` (T0); may use T1; EFLAGS clobbered only with an FS or GS segment. */
void guest_address(struct translator *t, const struct insn *i, unsigned to);
/* Anything of the engine's: relative to GS if it is near enough, else through `temp`. */
struct host_memory at_pointer(struct translator *t, const void *pointer, unsigned temp);
struct host_memory pointer_operand(struct emitter *e, const struct vcpu *c, const void *pointer,
				   unsigned temp);
int host_of(unsigned guest); /* -1: in memory */
unsigned use_gpr(struct translator *t, unsigned guest, unsigned temp, bool load);
void put_gpr(struct translator *t, unsigned guest, unsigned host);
struct host_memory gpr_slot(unsigned guest);
struct host_memory segment_field(unsigned seg, size_t offset); /* of struct segment */

/* liveness.c: status flags the instruction certainly overwrites; needs for what it does; that are
 * to be right before it if `after` are behind it. */
uint16_t flags_replaced(const struct insn *i, const struct op_info *info);
uint16_t flags_needed(const struct insn *i, const struct op_info *info);
uint16_t flags_before(const struct insn *i, const struct op_info *info, uint16_t after);
/* And wherever somebody could look at them: vm_options.exact_flags. */
uint16_t flags_before_exactly(const struct insn *i, const struct op_info *info, uint16_t after);

/* pages.c */
unsigned page_slot(uint64_t linear, uint32_t mode);
/* The block is what its linear address leads to now. Its page's identity; NULL: no room. */
struct page_identity *page_arrived(struct vcpu *c, const struct jit_block *block);
/* NULL: no room. */
struct page_identity *page_identity(struct jit *jit, uint64_t linear, uint32_t mode, const uint32_t *page_code);
void pages_forget(struct vcpu *c);

/* open.c: the block's page is there now; so it is held open, and the link leads there. */
void link_open(struct vcpu *c, struct jit_link *link, struct page_identity *p, const struct jit_block *block);
void arrival_open(struct vcpu *c, struct jit_block *block, struct page_identity *p);
/* Before translated code in the window goes on, if page tables or code may have changed. */
bool pages_are_unsure(const struct vcpu *c);
void pages_look_again(struct vcpu *c);

/* exits.c: ends of blocks. */
void load_identity(struct translator *t, uint64_t linear); /* what is in the page's slot, to T0 */
void exit_direct(struct translator *t, uint64_t target);
void exit_if(struct translator *t, enum condition condition, uint64_t target); /* once in a block */
void exits_emit(struct translator *t); /* what is out of line */
/* Calls, behind the guest's push: need_room(), the host's call, and where that returns to. */
void call_direct(struct translator *t, uint64_t target, uint64_t back);
void need_room(struct translator *t);
void come_back(struct translator *t, uint64_t back);

/* indirect.c */
/* T1 is no canonical address: to the slow path. T0 is overwritten. */
void need_canonical(struct translator *t);
/* T1 is nothing that a call may lead to, or in the other half of the addresses: as above. */
void need_near_half(struct translator *t);
/* Target in T1. If code cannot be there the interpreter shall see RSP as it was before `moved`. */
void exit_indirect(struct translator *t);
void exit_return(struct translator *t, int32_t moved);
/* Target in vcpu.jit_scratch; need_near_half() has looked. All of it, as call_direct(). */
void call_indirect(struct translator *t, uint64_t back);
void emit_missed(struct translator *t, struct slow_path *s);
void indirect_emit_thunks(struct jit *jit, struct emitter *e);
/* In front of the block's entry, if it was missed: where indirect jumps come. */
void emit_arrival(struct emitter *e, const struct vcpu *c, struct jit_block *block);
void target_arrived(struct vcpu *c, struct jit_block *block, struct page_identity *p); /* jit_arrived() */
void arrival_restore(struct jit *jit, struct jit_block *block); /* its code, and that it does not lead there */
void arrival_close(struct jit *jit, struct jit_block *block);
/* Jumps to c->rip go there: its page is what it was when that was found. */
bool target_is_good(const struct vcpu *c, const struct jit_block *block);
void targets_forget(struct vcpu *c);

/* run.c */
void block_remember(struct jit *jit, struct jit_block *block); /* for jit_find() */
/* Behind an instruction done by the interpreter: translated code goes on. */
op_fn jit_single_done;

/* segment.c */
static inline uint64_t linear_of(const struct translator *t, uint64_t rip)
{
	return t->segmented ? t->code_base + (uint32_t)rip : rip;
}
static inline uint64_t linear_rip(const struct vcpu *c)
{
	return c->mode & MODE_CODE64 ? c->rip : (uint32_t)(c->seg[CS].base + c->rip);
}
void segments_forget(struct vcpu *c);
/* An offset in T0, zero-extended, becomes linear, if `size` bytes there are in the segment. */
void segment_to_linear(struct translator *t, unsigned seg, unsigned size, bool write);
/* The linear address of `size` bytes of the stack in T0: at a register's value and an offset. */
void segmented_stack(struct translator *t, unsigned base, int32_t offset, unsigned size, bool write);
void move_stack(struct translator *t, unsigned from, int32_t bytes); /* RSP: `from` and so much */
void zero_extend(struct translator *t, unsigned size, unsigned to, unsigned from); /* 2 or 4 */
bool target_is_within(const struct translator *t, uint64_t target);
enum condition compare_with_limit(struct translator *t); /* T1; what it is if beyond */

/* native_vector.c */
bool native_vector(struct translator *t, const struct insn *i, const struct op_info *info);
enum vector_level vector_need(const struct insn *i); /* 0: it is not translated */

/* vectors.c */
void vectors_emit_thunks(struct jit *jit, struct emitter *e);
bool vectors_allow(const struct vcpu *c, enum vector_level level); /* loading them now */

/* native_atomic.c: LOCK, XCHG with memory, XADD, CMPXCHG, bit tests at an offset in a register. */
bool native_atomic(struct translator *t, const struct insn *i, const struct op_info *info);

/* native_divide.c, native_bits.c, native_system.c */
bool native_divide(struct translator *t, const struct insn *i, const struct op_info *info);
bool native_bits(struct translator *t, const struct insn *i, const struct op_info *info);
bool native_system(struct translator *t, const struct insn *i, const struct op_info *info);
bool native_loop(struct translator *t, const struct insn *i, unsigned opcode);

/* native_segment.c */
bool native_segment(struct translator *t, const struct insn *i, const struct op_info *info);
/* Then it does not end the block for us. */
bool loads_segment_natively(const struct translator *t, const struct insn *i,
			    const struct op_info *info);

/* native_string.c */
bool native_string(struct translator *t, const struct insn *i, const struct op_info *info);

/* native_x87.c */
bool native_x87(struct translator *t, const struct insn *i, const struct op_info *info);
bool native_mmx(struct translator *t, const struct insn *i, const struct op_info *info);
bool mmx_is_native(const struct insn *i, const struct op_info *info);
bool x87_is_native(const struct insn *i, const struct op_info *info);
void x87_store_rip(struct translator *t, uint64_t rip); /* 0: nothing; T1 */
void x87_recheck(struct translator *t, uint64_t rip_behind); /* behind the interpreter */
uint16_t x87_flags_before(const struct insn *i, const struct op_info *info, uint16_t after);

/* native_branch.c */
bool native_branch(struct translator *t, const struct insn *i, const struct op_info *info);

/* count.c */
int jit_count_init(struct jit *jit); /* 0 or -errno */
void jit_count_fini(struct jit *jit);
void jit_count_back(struct vcpu *c); /* translated code came back, and did not unwind */

/* log.c: if anybody wants to know. Addresses are in the writable view. */
void jit_log_thunks(const struct vcpu *c);
void jit_log_block(const struct vcpu *c, const struct jit_source *source, const struct emitter *hot,
		   const struct emitter *cold);

#endif
