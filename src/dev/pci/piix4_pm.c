/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel PIIX4 power management: ACPI registers, PM timer, SMBus host.
 *
 * Firmware places the PM block (PMBA) and the SMBus block (SMBBA) in port space. Sleep type S5 in
 * PM1_CNT turns the machine off, S3 puts it to sleep until the clock's alarm (if RTC_EN), the power
 * button or the user wakes it; the reset that follows leaves WAK_STS and the cause. Events raise the SCI, GSI 9, once ACPI was enabled by writing
 * 0xf1 to port 0xb2. General-purpose events are at 0xafe0, as PC firmware tables for this chip
 * say.
 *
 * Manual: Intel 82371AB (PIIX4), order 290562, sections 7.2 (power management) and 7.3 (SMBus);
 * ACPI specification 1.0b, section 4.7.
 * Not modelled: SMI (firmware is told that SMM is already set up), device idle timers, throttling,
 * SMBus slaves: every transfer ends with "no device".
 */
#include "core/board.h"
#include "dev/pci/chipset.h"

#include <errno.h>

enum {
	PMBA = 0x40,
	DEVACTB = 0x58,
	APMC_ENABLED = 0x02, /* in DEVACTB's last byte: SMM is set up */
	PMREGMISC = 0x80,
	SMBBA = 0x90,
	SMBHSTCFG = 0xd2,
	IS_ENABLED = 1,
	PM_PORTS = 64,
	SMBUS_PORTS = 16,
};

enum {
	PM1_STATUS = 0,
	PM1_ENABLE = 2,
	PM1_CONTROL = 4,
	PM_TIMER = 8,
	EVENT_TIMER = 0x0001,
	EVENT_GLOBAL = 0x0020,
	EVENT_POWER_BUTTON = 0x0100,
	EVENT_RTC = 0x0400,
	EVENT_WAKE = 0x8000, /* no event: only a status */
	EVENTS = EVENT_TIMER | EVENT_GLOBAL | EVENT_POWER_BUTTON | EVENT_RTC,
	CONTROL_SCI = 1,
	CONTROL_SLEEP = 0x2000,
	CONTROL_BITS = 0x1c03, /* what reads back */
};

enum {
	SMB_STATUS = 0,
	SMB_CONTROL = 2,
	SMB_REGISTERS = 16,
	SMB_DEVICE_ERROR = 4,
	SMB_START = 0x40,
};

#define PM_TIMER_HZ 3579545u

struct piix4_pm {
	struct pci_dev pci;
	bool disable_s3, disable_s4;
	uint16_t pm1_status, pm1_enable, pm1_control;
	uint16_t gpe_status, gpe_enable;
	bool asleep;
	uint16_t wake_status; /* what PM1_STS is to say after the reset that ends sleep */
	uint8_t apm[2]; /* command, status */
	uint8_t smbus[SMB_REGISTERS];
	struct timer overflow;
	uint16_t pm_base, smbus_base; /* where the blocks are claimed; 0: nowhere */
	bool sci;
};

static const struct field piix4_pm_fields[] = {
	SETTING(struct piix4_pm, disable_s3, .help = "refuse suspend to RAM"),
	SETTING(struct piix4_pm, disable_s4, .help = "refuse suspend to disk"),
	STATE(struct piix4_pm, pm1_status),
	STATE(struct piix4_pm, pm1_enable),
	STATE(struct piix4_pm, pm1_control),
	STATE(struct piix4_pm, gpe_status),
	STATE(struct piix4_pm, gpe_enable),
	STATE(struct piix4_pm, asleep),
	STATE(struct piix4_pm, wake_status),
	STATE(struct piix4_pm, apm),
	STATE(struct piix4_pm, smbus),
	STATE(struct piix4_pm, overflow),
	{ 0 },
};

static struct piix4_pm *to_pm(struct dev *dev)
{
	return container_of(dev, struct piix4_pm, pci.dev);
}

static uint64_t ticks_at(uint64_t now)
{
	return (unsigned __int128)now * PM_TIMER_HZ / SECOND;
}

/* [PM1_STS] the timer event comes each time bit 23 changes. */
static uint64_t next_overflow(uint64_t now)
{
	uint64_t tick = (ticks_at(now) >> 23) + 1;

	return (unsigned __int128)(tick << 23) * SECOND / PM_TIMER_HZ + 1;
}

static void update_sci(struct piix4_pm *pm)
{
	bool event = pm->pm1_status & pm->pm1_enable & EVENTS;
	bool general = pm->gpe_status & pm->gpe_enable;

	pm->sci = (pm->pm1_control & CONTROL_SCI) && (event || general);
	irq_set(&pm->pci.dev, PM_SCI_GSI, pm->sci);
}

static void on_overflow(struct dev *dev)
{
	struct piix4_pm *pm = to_pm(dev);

	pm->pm1_status |= EVENT_TIMER;
	timer_arm(&pm->overflow, next_overflow(dev_now(dev)));
	update_sci(pm);
}

static void wake_up(struct piix4_pm *pm, uint16_t why)
{
	pm->asleep = false;
	pm->wake_status = EVENT_WAKE | why;
	board_request(pm->pci.dev.board, BOARD_WAKE, 0);
}

static void on_power_button(struct dev *dev)
{
	struct piix4_pm *pm = to_pm(dev);

	if (pm->asleep) {
		wake_up(pm, EVENT_POWER_BUTTON);
		return;
	}
	pm->pm1_status |= EVENT_POWER_BUTTON;
	update_sci(pm);
}

static void on_wake(struct dev *dev, enum wake why)
{
	struct piix4_pm *pm = to_pm(dev);

	if (why == WAKE_RTC)
		pm->pm1_status |= EVENT_RTC;
	if (pm->asleep && (why != WAKE_RTC || pm->pm1_enable & EVENT_RTC))
		wake_up(pm, why == WAKE_RTC ? EVENT_RTC : 0);
	else
		update_sci(pm);
}

void piix4_pm_event(struct dev *dev, unsigned event)
{
	struct piix4_pm *pm = to_pm(dev);

	pm->gpe_status |= BIT(event & 15);
	update_sci(pm);
}

static void fall_asleep(struct piix4_pm *pm)
{
	pm->asleep = true;
	board_set_asleep(pm->pci.dev.board, true);
	board_request(pm->pci.dev.board, BOARD_SUSPEND, 0);
}

static void sleep_written(struct piix4_pm *pm, unsigned type)
{
	struct board *board = pm->pci.dev.board;

	if (type == PM_SLEEP_S5 || (type == PM_SLEEP_S4 && !pm->disable_s4))
		board_request(board, BOARD_POWEROFF, 0);
	else if (type == PM_SLEEP_S3 && !pm->disable_s3)
		fall_asleep(pm);
	else
		guest_error(&pm->pci.dev, "sleep type %u is not offered", type);
}

static uint64_t pm_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct piix4_pm *pm = to_pm(dev);
	uint8_t image[PM_PORTS + 8] = { 0 };

	if (offset < PM1_ENABLE && !(pm->pm1_status & EVENT_TIMER) && pm->overflow.deadline &&
	    dev_now(dev) >= pm->overflow.deadline)
		on_overflow(dev);
	store_le16(&image[PM1_STATUS], pm->pm1_status);
	store_le16(&image[PM1_ENABLE], pm->pm1_enable);
	store_le16(&image[PM1_CONTROL], pm->pm1_control);
	store_le32(&image[PM_TIMER], ticks_at(dev_now(dev)) & 0xffffff);
	return load_le(&image[offset], size);
}

static void set_byte(uint16_t *word, unsigned byte, uint8_t value)
{
	*word = (*word & ~(0xff << byte * 8)) | value << byte * 8;
}

static void pm_write_byte(struct piix4_pm *pm, unsigned offset, uint8_t value)
{
	unsigned byte = offset & 1;

	switch (offset - byte) {
	case PM1_STATUS: /* ones clear */
		pm->pm1_status &= ~(value << byte * 8);
		break;
	case PM1_ENABLE:
		set_byte(&pm->pm1_enable, byte, value);
		pm->pm1_enable &= EVENTS;
		break;
	case PM1_CONTROL:
		set_byte(&pm->pm1_control, byte, value);
		pm->pm1_control &= CONTROL_BITS;
		if (byte && (value & CONTROL_SLEEP >> 8))
			sleep_written(pm, value >> 2 & 7);
		break;
	default:
		break;
	}
}

static void pm_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		pm_write_byte(to_pm(dev), offset + i, value >> i * 8);
	update_sci(to_pm(dev));
}

static const struct region pm_ports = {
	.name = "piix4-pm",
	.min_size = 1,
	.max_size = 4,
	.read = pm_read,
	.write = pm_write,
};

static uint64_t gpe_read(struct dev *dev, uint64_t offset, unsigned size)
{
	struct piix4_pm *pm = to_pm(dev);
	uint32_t both = pm->gpe_status | (uint32_t)pm->gpe_enable << 16;

	(void)size;
	return both >> offset * 8;
}

static void gpe_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct piix4_pm *pm = to_pm(dev);

	(void)size;
	if (offset < 2)
		pm->gpe_status &= ~((value & 0xff) << offset * 8);
	else
		set_byte(&pm->gpe_enable, offset & 1, value);
	update_sci(pm);
}

static const struct region gpe_ports = {
	.name = "piix4-gpe",
	.min_size = 1,
	.max_size = 1,
	.read = gpe_read,
	.write = gpe_write,
};

static uint64_t apm_read(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)size;
	return to_pm(dev)->apm[offset];
}

static void apm_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct piix4_pm *pm = to_pm(dev);

	(void)size;
	pm->apm[offset] = value;
	if (offset)
		return;
	if (value == PM_ACPI_ENABLE)
		pm->pm1_control |= CONTROL_SCI;
	else if (value == PM_ACPI_DISABLE)
		pm->pm1_control &= ~CONTROL_SCI;
	update_sci(pm);
}

static const struct region apm_ports = {
	.name = "apm",
	.min_size = 1,
	.max_size = 1,
	.read = apm_read,
	.write = apm_write,
};

static uint64_t smbus_read(struct dev *dev, uint64_t offset, unsigned size)
{
	(void)size;
	return to_pm(dev)->smbus[offset];
}

static void smbus_write(struct dev *dev, uint64_t offset, unsigned size, uint64_t value)
{
	struct piix4_pm *pm = to_pm(dev);

	(void)size;
	if (offset == SMB_STATUS) {
		pm->smbus[SMB_STATUS] &= ~value;
		return;
	}
	pm->smbus[offset] = value;
	if (offset == SMB_CONTROL && (value & SMB_START)) {
		pm->smbus[SMB_CONTROL] &= ~SMB_START;
		pm->smbus[SMB_STATUS] |= SMB_DEVICE_ERROR;
	}
}

static const struct region smbus_ports = {
	.name = "smbus",
	.min_size = 1,
	.max_size = 1,
	.read = smbus_read,
	.write = smbus_write,
};

/* Moves a block to where its registers say; `now` remembers where it is. */
static void place(struct dev *dev, const struct region *region, uint16_t *now, uint16_t wanted,
		  unsigned count)
{
	struct err err = { 0 };

	if (*now == wanted)
		return;
	if (*now)
		release_ports(dev, region);
	*now = 0;
	if (wanted && claim_ports(dev, region, wanted, count, &err))
		guest_error(dev, "%s", err.text);
	else
		*now = wanted;
}

static void place_blocks(struct piix4_pm *pm)
{
	struct dev *dev = &pm->pci.dev;
	const uint8_t *config = pm->pci.config;
	bool pm_on = config[PMREGMISC] & IS_ENABLED;
	bool smbus_on = config[SMBHSTCFG] & IS_ENABLED;

	place(dev, &pm_ports, &pm->pm_base, pm_on ? load_le16(&config[PMBA]) & 0xffc0 : 0,
	      PM_PORTS);
	place(dev, &smbus_ports, &pm->smbus_base, smbus_on ? load_le16(&config[SMBBA]) & 0xfff0 : 0,
	      SMBUS_PORTS);
}

static void pm_config_written(struct dev *dev, unsigned offset, unsigned size)
{
	(void)offset;
	(void)size;
	place_blocks(to_pm(dev));
}

bool piix4_pm_offers_s3(struct dev *dev)
{
	return !to_pm(dev)->disable_s3;
}

void piix4_pm_enable(struct dev *dev)
{
	uint8_t *config = to_pm(dev)->pci.config;

	store_le32(&config[PMBA], PM_BASE | 1);
	config[PMREGMISC] |= IS_ENABLED;
	place_blocks(to_pm(dev));
}

static void pm_reset(struct dev *dev)
{
	struct piix4_pm *pm = to_pm(dev);
	uint8_t *config = pm->pci.config;

	memset(&config[0x40], 0, 256 - 0x40);
	config[PCI_STATUS] = 0x80;
	config[PCI_STATUS + 1] = 2;
	config[PMBA] = 1;
	config[SMBBA] = 1;
	config[DEVACTB + 3] = APMC_ENABLED;
	config[0x67] = 0x20; /* both serial ports decoded, parallel port: what firmware expects */
	pm->pm1_status = board_is_waking(dev->board) ? pm->wake_status : 0;
	pm->pm1_enable = pm->pm1_control = 0;
	pm->asleep = false;
	pm->wake_status = 0;
	pm->gpe_status = pm->gpe_enable = 0;
	memset(pm->apm, 0, sizeof(pm->apm));
	memset(pm->smbus, 0, sizeof(pm->smbus));
	timer_arm(&pm->overflow, next_overflow(dev_now(dev)));
	place_blocks(pm);
	update_sci(pm);
}

static int pm_restored(struct dev *dev, struct err *err)
{
	struct piix4_pm *pm = to_pm(dev);

	(void)err;
	pm->pm1_enable &= EVENTS;
	pm->pm1_control &= CONTROL_BITS;
	board_set_asleep(dev->board, pm->asleep);
	place_blocks(pm);
	update_sci(pm);
	return 0;
}

static int pm_attach(struct dev *dev, struct err *err)
{
	struct piix4_pm *pm = to_pm(dev);
	uint8_t *writable = pm->pci.writable;
	int code;

	writable[PMBA] = 0xc0;
	writable[PMBA + 1] = 0xff;
	memset(&writable[0x44], 0xff, 0x80 - 0x44); /* counters, device activity and resources */
	writable[PMREGMISC] = IS_ENABLED;
	writable[SMBBA] = 0xf0;
	writable[SMBBA + 1] = 0xff;
	writable[SMBHSTCFG] = 0x0f;
	memset(&writable[SMBHSTCFG + 1], 0xff, 3);
	claim_timer(dev, &pm->overflow, on_overflow);
	board_claim_power_button(dev, on_power_button);
	board_claim_wake(dev, on_wake);
	code = claim_ports(dev, &gpe_ports, PM_GPE_BASE, 4, err);
	return code ? code : claim_ports(dev, &apm_ports, PM_SMI_COMMAND, 2, err);
}

const struct pci_class piix4_pm_class = {
	.dev = {
		.name = "PIIX4_PM",
		.summary = "Intel PIIX4 power management",
		.size = sizeof(struct piix4_pm),
		.fields = piix4_pm_fields,
		.bus = &pci_bus_class,
		.board_only = true,
		.attach = pm_attach,
		.reset = pm_reset,
		.restored = pm_restored,
	},
	.ids = {
		.vendor = 0x8086,
		.device = 0x7113,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = 0x0680,
		.revision = 3,
		.pin = 1,
	},
	.config_written = pm_config_written,
};
