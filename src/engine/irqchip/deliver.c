/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0-only */
/*
 * The APIC bus: who a message is for, and what it does there. Any thread, no lock.
 *
 * Lowest-priority messages pick a LAPIC by vector modulo the number of candidates, as KVM does.
 *
 * Manual: SDM 3, 11.6 and 11.12.9.
 * Not modelled: remote read; INIT level de-assert (ignored, as by every processor since P6).
 */
#include "engine/irqchip/internal.h"

enum { XAPIC_ALL = 0xff, DFR_FLAT = 0xf };
#define X2APIC_ALL 0xffffffffu

/* A flat or clustered logical destination. [SDM 3 11.6.2.2, 11.12.9.3] */
static bool logical_match(const struct vcpu *c, uint32_t destination)
{
	uint32_t id = apic_reg(c->lapic, APIC_LDR);

	if (in_x2apic_mode(c))
		return id >> 16 == destination >> 16 && id & destination & 0xffff;
	id >>= 24;
	if (apic_reg(c->lapic, APIC_DFR) >> 28 == DFR_FLAT)
		return id & destination & 0xff;
	return id >> 4 == (destination >> 4 & 0xf) && id & destination & 0xf;
}

static bool destination_match(const struct vcpu *c, const struct vcpu *source,
			      const struct apic_message *message)
{
	uint32_t destination = message->destination;
	bool is_x2apic = in_x2apic_mode(c);

	/* Without interrupt remapping an IOAPIC or MSI has no other way to say "all". */
	if (!source && is_x2apic && destination == XAPIC_ALL && !c->vm->x2apic_no_broadcast)
		return true;
	if (destination == (is_x2apic ? X2APIC_ALL : XAPIC_ALL))
		return true;
	if (message->is_logical)
		return logical_match(c, destination);
	return destination == (is_x2apic ? c->id : apic_reg(c->lapic, APIC_ID) >> 24);
}

static bool is_addressed(struct vcpu *c, struct vcpu *source, const struct apic_message *message)
{
	if (!c || !c->lapic || !(apic_base_of(c) & BASE_ENABLE))
		return false;
	switch (message->shorthand) {
	case SHORTHAND_SELF:
		return c == source;
	case SHORTHAND_ALL:
		return true;
	case SHORTHAND_OTHERS:
		return c != source;
	default:
		return destination_match(c, source, message);
	}
}

void apic_set_error(struct vcpu *c, uint32_t bits)
{
	__atomic_fetch_or(&c->lapic->errors, bits, __ATOMIC_SEQ_CST);
	if ((uint8_t)apic_reg(c->lapic, APIC_LVT_ERROR) >= 16) /* else it would be the next error */
		lapic_lvt_deliver(c, APIC_LVT_ERROR);
}

static bool accept_vector(struct vcpu *c, const struct apic_message *message)
{
	struct lapic *l = c->lapic;
	uint32_t bit = 1u << message->vector % 32;

	if (!(apic_reg(l, APIC_SVR) & SVR_ENABLED))
		return false;
	if (message->vector < 16) {
		apic_set_error(c, ESR_RECEIVE_ILLEGAL);
		return false;
	}
	if (message->is_level)
		__atomic_fetch_or(vector_word(l, APIC_TMR, message->vector), bit, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(vector_word(l, APIC_TMR, message->vector), ~bit,
				   __ATOMIC_SEQ_CST);
	__atomic_fetch_or(vector_word(l, APIC_IRR, message->vector), bit, __ATOMIC_SEQ_CST);
	vcpu_request(c, REQUEST_EVENT);
	return true;
}

static void accept_event(struct vcpu *c, uint32_t bit)
{
	__atomic_fetch_or(&c->lapic->events, bit, __ATOMIC_SEQ_CST);
	vcpu_request(c, REQUEST_EVENT);
}

static void accept_nmi(struct vcpu *c)
{
	uint32_t nmis = __atomic_load_n(&c->lapic->nmis, __ATOMIC_SEQ_CST);

	/* One in service and one waiting is all a processor keeps. */
	while (nmis < 2 && !__atomic_compare_exchange_n(&c->lapic->nmis, &nmis, nmis + 1, false,
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	vcpu_request(c, REQUEST_EVENT);
}

/* False: refused, the LAPIC is off or the vector illegal. */
bool apic_accept(struct vcpu *c, const struct apic_message *message)
{
	switch (message->delivery) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		return accept_vector(c, message);
	case DELIVER_SMI:
		accept_event(c, EVENT_BIT_SMI);
		return true;
	case DELIVER_NMI:
		accept_nmi(c);
		return true;
	case DELIVER_INIT:
		if (message->is_level && !message->is_asserted)
			return false;
		/* Whatever SIPI came before belongs to an earlier start. */
		__atomic_fetch_and(&c->lapic->events, ~(uint32_t)EVENT_BIT_SIPI, __ATOMIC_SEQ_CST);
		accept_event(c, EVENT_BIT_INIT);
		return true;
	case DELIVER_SIPI:
		__atomic_store_n(&c->lapic->sipi_vector, message->vector, __ATOMIC_SEQ_CST);
		accept_event(c, EVENT_BIT_SIPI);
		return true;
	case DELIVER_REMOTE_READ: /* KVM_HC_KICK_CPU travels as one */
		accept_event(c, EVENT_BIT_UNHALT);
		return true;
	default: /* ExtINT by message: the PIC's line does that */
		return false;
	}
}

/* The vector picks among the candidates that are switched on. */
static int deliver_lowest(struct vm *vm, struct vcpu *source, const struct apic_message *message)
{
	struct vcpu *candidate[KVM_ABI_VCPUS];
	uint32_t vcpus = __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE);
	unsigned count = 0;

	for (uint32_t i = 0; i < vcpus; i++) {
		if (is_addressed(vm->vcpu[i], source, message) &&
		    apic_reg(vm->vcpu[i]->lapic, APIC_SVR) & SVR_ENABLED)
			candidate[count++] = vm->vcpu[i];
	}
	if (!count)
		return -1;
	return apic_accept(candidate[message->vector % count], message);
}

int apic_deliver(struct vm *vm, struct vcpu *source, const struct apic_message *message)
{
	uint32_t vcpus = __atomic_load_n(&vm->vcpu_count, __ATOMIC_ACQUIRE);
	bool is_vector = message->delivery == DELIVER_FIXED || message->delivery == DELIVER_LOWEST;
	bool is_broadcast = message->destination == XAPIC_ALL && !message->is_logical;
	int result = -1;

	if (message->delivery == DELIVER_LOWEST || (is_vector && message->lowest_hint)) {
		/* Lowest priority to physical "all" is not defined: it goes to all. */
		if (!is_broadcast || message->shorthand)
			return deliver_lowest(vm, source, message);
	}
	for (uint32_t i = 0; i < vcpus; i++) {
		if (is_addressed(vm->vcpu[i], source, message))
			result = MAX(result, 0) + apic_accept(vm->vcpu[i], message);
	}
	return result;
}

void apic_send_ipi(struct vcpu *c, uint32_t icr, uint32_t destination)
{
	struct apic_message message = {
		.destination = destination,
		.vector = (uint8_t)icr,
		.delivery = icr >> 8 & 7,
		.shorthand = icr >> 18 & 3,
		.is_logical = icr & ICR_LOGICAL,
		.is_level = icr & ICR_LEVEL,
		.is_asserted = icr & ICR_ASSERT,
	};

	if (message.delivery <= DELIVER_LOWEST) {
		if (message.vector < 16) {
			apic_set_error(c, ESR_SEND_ILLEGAL);
			return;
		}
		message.is_level = false; /* [SDM 3 11.6.1] only INIT de-assert looks at it */
	}
	apic_deliver(c->vm, c, &message);
}

/* A local interrupt source of this LAPIC fired. */
void lapic_lvt_deliver(struct vcpu *c, unsigned lvt)
{
	uint32_t entry = apic_reg(c->lapic, lvt);
	struct apic_message message = { .vector = (uint8_t)entry, .is_asserted = true };

	if (entry & LVT_MASKED || !(apic_base_of(c) & BASE_ENABLE))
		return;
	if (lvt != APIC_LVT_TIMER && lvt != APIC_LVT_ERROR)
		message.delivery = entry >> 8 & 7;
	apic_accept(c, &message);
}
