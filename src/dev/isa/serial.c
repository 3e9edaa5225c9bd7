/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 16550A serial port.
 *
 * Bytes go to the chardev as the guest writes them: the divisor is kept and read back, but does not
 * limit throughput. When the peer is full, up to 16 bytes wait in the transmit FIFO and the "empty"
 * bit stays clear. Received bytes wait in the receive FIFO; below the trigger level they are
 * announced at once by the "character timeout" interrupt.
 *
 * Manual: National Semiconductor PC16550D data sheet, 1995; section names in [brackets].
 * Not modelled: parity, framing and overrun errors, break from the peer, ring.
 */
#include "core/chardev.h"

#include <errno.h>

enum {
	RBR_THR, /* receive and transmit; divisor low */
	IER,     /* interrupt enable; divisor high */
	IIR_FCR,
	LCR,
	MCR,
	LSR,
	MSR,
	SCR,
	PORTS,
};

enum {
	IER_RECEIVE = 1, IER_TRANSMIT = 2, IER_LINE = 4, IER_MODEM = 8,
	IIR_NONE = 1, IIR_MODEM = 0, IIR_TRANSMIT = 2, IIR_RECEIVE = 4, IIR_LINE = 6,
	IIR_TIMEOUT = 12, IIR_FIFO_ON = 0xc0,
	FCR_ENABLE = 1, FCR_CLEAR_RECEIVE = 2, FCR_CLEAR_TRANSMIT = 4, FCR_TRIGGER = 0xc0,
	LCR_DIVISOR = 0x80,
	MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_ALL = 31,
	LSR_READY = 1, LSR_OVERRUN = 2, LSR_ERRORS = 0x1e, LSR_HOLDING_EMPTY = 0x20,
	LSR_ALL_EMPTY = 0x40,
	MSR_CHANGES = 0x0f, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RING = 0x40, MSR_CARRIER = 0x80,
	MSR_RING_ENDED = 4,
};

enum { FIFO = 16 };

struct serial {
	struct dev dev;
	uint8_t index, irq;
	uint16_t port;
	struct chardev *chardev;

	uint8_t ier, lcr, mcr, msr, scr, fcr;
	uint16_t divisor;
	bool overrun;
	bool transmit_pending; /* [IIR] the "holding register empty" interrupt, until IIR is read */
	bool open;             /* the peer is there: modem status */
	uint8_t receive[FIFO], transmit[FIFO];
	uint8_t received, to_send; /* how many are in them, oldest first */

	uint64_t bytes_in, bytes_out;
};

static const struct field serial_fields[] = {
	SETTING(struct serial, index, .max = 3, .help = "which of COM1 to COM4: port and line"),
	SETTING_AS("iobase", struct serial, port, .help = "first I/O port, 0: the index's"),
	SETTING(struct serial, irq, .max = 15, .help = "interrupt line, 0: the index's"),
	SETTING(struct serial, chardev, .help = "the other end of the wire"),
	STATE(struct serial, ier, .max = 15),
	STATE(struct serial, lcr),
	STATE(struct serial, mcr, .max = MCR_ALL),
	STATE(struct serial, msr),
	STATE(struct serial, scr),
	STATE(struct serial, fcr),
	STATE(struct serial, divisor),
	STATE(struct serial, overrun),
	STATE(struct serial, transmit_pending),
	STATE(struct serial, receive),
	STATE(struct serial, transmit),
	STATE(struct serial, received, .max = FIFO),
	STATE(struct serial, to_send, .max = FIFO),
	COUNTER(struct serial, bytes_in, .help = "bytes received"),
	COUNTER(struct serial, bytes_out, .help = "bytes sent"),
	{ 0 }
};

static struct serial *to_serial(struct dev *dev)
{
	return container_of(dev, struct serial, dev);
}

static bool fifo_on(const struct serial *s)
{
	return s->fcr & FCR_ENABLE;
}

static unsigned trigger_level(const struct serial *s)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return fifo_on(s) ? levels[(s->fcr & FCR_TRIGGER) >> 6] : 1;
}

/* [Interrupt Identification Register] by priority. */
static uint8_t interrupt_id(const struct serial *s)
{
	if (s->ier & IER_LINE && s->overrun)
		return IIR_LINE;
	if (s->ier & IER_RECEIVE && s->received >= trigger_level(s))
		return IIR_RECEIVE;
	if (s->ier & IER_RECEIVE && s->received)
		return IIR_TIMEOUT;
	if (s->ier & IER_TRANSMIT && s->transmit_pending)
		return IIR_TRANSMIT;
	if (s->ier & IER_MODEM && s->msr & MSR_CHANGES)
		return IIR_MODEM;
	return IIR_NONE;
}

/* A PC gates the interrupt with OUT2. */
static void update_irq(struct serial *s)
{
	bool enabled = s->mcr & MCR_OUT2 && !(s->mcr & MCR_LOOP);

	irq_set(&s->dev, s->irq, enabled && interrupt_id(s) != IIR_NONE);
}

/* [Modem Status Register] in loop mode the outputs are the inputs. */
static void update_modem(struct serial *s)
{
	uint8_t was = s->msr & 0xf0, now = 0;

	if (s->mcr & MCR_LOOP) {
		now |= s->mcr & MCR_RTS ? MSR_CTS : 0;
		now |= s->mcr & MCR_DTR ? MSR_DSR : 0;
		now |= s->mcr & MCR_OUT1 ? MSR_RING : 0;
		now |= s->mcr & MCR_OUT2 ? MSR_CARRIER : 0;
	} else if (s->open) {
		now = MSR_CTS | MSR_DSR | MSR_CARRIER;
	}
	s->msr = (s->msr & MSR_CHANGES) | now | ((was ^ now) >> 4 & ~MSR_RING_ENDED);
	if (was & ~now & MSR_RING)
		s->msr |= MSR_RING_ENDED;
}

static void send_waiting(struct serial *s)
{
	size_t sent = s->to_send;

	if (!s->to_send)
		return;
	if (s->chardev)
		sent = chardev_send(s->chardev, s->transmit, s->to_send);
	s->bytes_out += sent;
	s->to_send -= (uint8_t)sent;
	memmove(s->transmit, s->transmit + sent, s->to_send);
	if (!s->to_send)
		s->transmit_pending = true;
}

static void take_in(struct serial *s, uint8_t byte)
{
	if (s->received >= (fifo_on(s) ? FIFO : 1)) {
		s->overrun = true;
		return;
	}
	s->receive[s->received++] = byte;
	s->bytes_in++;
}

static void write_data(struct serial *s, uint8_t byte)
{
	s->transmit_pending = false;
	if (s->mcr & MCR_LOOP) {
		take_in(s, byte);
		s->transmit_pending = true;
		return;
	}
	if (s->to_send == FIFO) /* the guest did not look at the empty bit: the last one is lost */
		s->to_send--;
	s->transmit[s->to_send++] = byte;
	send_waiting(s);
}

static uint8_t read_data(struct serial *s)
{
	uint8_t byte = s->receive[0];

	if (!s->received)
		return 0;
	memmove(s->receive, s->receive + 1, --s->received);
	if (s->chardev)
		chardev_poll_receive(s->chardev);
	return byte;
}

static uint8_t line_status(const struct serial *s)
{
	return (s->received ? LSR_READY : 0) | (s->overrun ? LSR_OVERRUN : 0) |
	       (s->to_send ? 0 : LSR_HOLDING_EMPTY | LSR_ALL_EMPTY);
}

static uint8_t read_id(struct serial *s)
{
	uint8_t id = interrupt_id(s);

	if (id == IIR_TRANSMIT) /* reading it acknowledges that one */
		s->transmit_pending = false;
	return id | (fifo_on(s) ? IIR_FIFO_ON : 0);
}

static uint64_t serial_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct serial *s = to_serial(dev);
	bool divisor = s->lcr & LCR_DIVISOR;
	uint8_t value = 0xff;

	switch (offset) {
	case RBR_THR:
		value = divisor ? (uint8_t)s->divisor : read_data(s);
		break;
	case IER:
		value = divisor ? s->divisor >> 8 : s->ier;
		break;
	case IIR_FCR:
		value = read_id(s);
		break;
	case LCR:
		value = s->lcr;
		break;
	case MCR:
		value = s->mcr;
		break;
	case LSR:
		value = line_status(s);
		s->overrun = false;
		break;
	case MSR:
		value = s->msr;
		s->msr &= ~MSR_CHANGES;
		break;
	case SCR:
		value = s->scr;
		break;
	}
	update_irq(s);
	return value;
}

static void write_fifo_control(struct serial *s, uint8_t value)
{
	bool toggled = (s->fcr ^ value) & FCR_ENABLE;

	if (toggled || value & FCR_CLEAR_RECEIVE)
		s->received = 0;
	if (toggled || value & FCR_CLEAR_TRANSMIT) {
		s->to_send = 0;
		s->transmit_pending = true;
	}
	s->fcr = value & FCR_ENABLE ? value & (FCR_TRIGGER | FCR_ENABLE) : 0;
	if (s->chardev)
		chardev_poll_receive(s->chardev);
}

static void serial_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct serial *s = to_serial(dev);
	uint8_t byte = (uint8_t)value;
	bool divisor = s->lcr & LCR_DIVISOR;

	switch (offset) {
	case RBR_THR:
		if (divisor)
			s->divisor = (s->divisor & 0xff00) | byte;
		else
			write_data(s, byte);
		break;
	case IER:
		if (divisor) {
			s->divisor = (uint16_t)((s->divisor & 0xff) | byte << 8);
			break;
		}
		/* [Interrupt Enable] enabling it while empty interrupts. */
		if (~s->ier & byte & IER_TRANSMIT && !s->to_send)
			s->transmit_pending = true;
		s->ier = byte & 15;
		break;
	case IIR_FCR:
		write_fifo_control(s, byte);
		break;
	case LCR:
		s->lcr = byte;
		break;
	case MCR:
		s->mcr = byte & MCR_ALL;
		update_modem(s);
		if (s->chardev)
			chardev_poll_receive(s->chardev);
		break;
	case SCR:
		s->scr = byte;
		break;
	}
	update_irq(s);
}

static const struct region serial_ports = {
	.name = "serial",
	.min_size = 1,
	.max_size = 1,
	.read = serial_read,
	.write = serial_write,
};

static unsigned can_receive(struct dev *dev)
{
	const struct serial *s = to_serial(dev);

	if (s->mcr & MCR_LOOP)
		return 0;
	return (fifo_on(s) ? FIFO : 1u) - MIN(s->received, fifo_on(s) ? FIFO : 1u);
}

static void on_receive(struct dev *dev, const uint8_t *bytes, size_t count)
{
	struct serial *s = to_serial(dev);

	for (size_t i = 0; i < count; i++)
		take_in(s, bytes[i]);
	update_irq(s);
}

static void on_opened(struct dev *dev, bool open)
{
	to_serial(dev)->open = open;
	update_modem(to_serial(dev));
	update_irq(to_serial(dev));
}

static void on_sent(struct dev *dev)
{
	send_waiting(to_serial(dev));
	update_irq(to_serial(dev));
}

static const struct chardev_events serial_events = {
	.can_receive = can_receive,
	.receive = on_receive,
	.opened = on_opened,
	.sent = on_sent,
};

static int serial_attach(struct dev *dev, struct err *err)
{
	static const uint16_t ports[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
	static const uint8_t lines[] = { 4, 3, 4, 3 };
	struct serial *s = to_serial(dev);
	int code;

	if (!s->port)
		s->port = ports[s->index];
	if (!s->irq)
		s->irq = lines[s->index];
	code = claim_ports(dev, &serial_ports, s->port, PORTS, err);
	if (!code && s->chardev)
		code = chardev_claim(s->chardev, dev, &serial_events, err);
	return code;
}

static void serial_reset(struct dev *dev)
{
	struct serial *s = to_serial(dev);

	s->ier = s->lcr = s->fcr = s->scr = 0;
	s->mcr = MCR_OUT2;
	s->divisor = 12; /* 9600 baud */
	s->received = s->to_send = 0;
	s->overrun = s->transmit_pending = false;
	s->msr = 0;
	update_modem(s);
	s->msr &= ~MSR_CHANGES;
	update_irq(s);
}

static int serial_restored(struct dev *dev, struct err *err)
{
	struct serial *s = to_serial(dev);

	if (!fifo_on(s) && s->received > 1)
		return fail(err, ERANGE, "%u bytes received without a FIFO", s->received);
	return 0;
}

const struct dev_class isa_serial_class = {
	.name = "isa-serial",
	.summary = "16550A serial port",
	.size = sizeof(struct serial),
	.fields = serial_fields,
	.attach = serial_attach,
	.reset = serial_reset,
	.restored = serial_restored,
};
