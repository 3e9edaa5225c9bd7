/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * User-mode network: libslirp as the guest's gateway, DHCP, DNS and TFTP server.
 *
 *	-netdev user,id=n0,hostfwd=tcp::2222-:22,tftp=DIR,bootfile=FILE
 *
 * libslirp runs on the loop's thread only. It wants poll(); we keep one loop watch per descriptor
 * and compare after each turn.
 *
 * Not modelled: smb=; guestfwd= to a chardev (cmd: only); urgent TCP data.
 */
#include "backend/net/internal.h"
#include "host/log.h"
#include "host/loop.h"
#include "host/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

enum { SEARCH_MAX = 32, NO_TIMEOUT = -1 };

/* A descriptor libslirp asked us to wait for. */
struct polled {
	struct user_net *net;
	struct loop_watch *watch; /* NULL: the slot is free */
	int fd, events, seen_events;
	bool wanted;
};

struct slirp_timer {
	struct user_net *net;
	struct loop_timer *timer;
	SlirpTimerId id;
	void *context;
};

struct user_net {
	struct netdev *netdev;
	struct loop *loop;
	Slirp *slirp;
	struct outbox outbox;
	struct loop_timer *timeout;
	struct polled **polled;
	unsigned polled_count;
	bool events_seen; /* since libslirp last looked */
};

static int events_to_loop(int events)
{
	return (events & SLIRP_POLL_IN ? LOOP_READ : 0) |
	       (events & SLIRP_POLL_OUT ? LOOP_WRITE : 0);
}

static void on_ready(void *context, unsigned events)
{
	struct polled *slot = context;

	slot->seen_events |= (events & LOOP_READ ? SLIRP_POLL_IN : 0) |
			     (events & LOOP_WRITE ? SLIRP_POLL_OUT : 0) |
			     (events & LOOP_HANGUP ? SLIRP_POLL_HUP | SLIRP_POLL_ERR : 0);
	slot->net->events_seen = true;
	outbox_wake(&slot->net->outbox);
}

static void slot_stop(struct polled *slot)
{
	if (slot->watch)
		loop_unwatch(slot->watch);
	slot->watch = NULL;
	slot->seen_events = 0;
}

static int add_poll(int fd, int events, void *opaque)
{
	struct user_net *net = opaque;
	unsigned i, unused = net->polled_count;
	struct polled *slot;

	for (i = 0; i < net->polled_count; i++) {
		if (net->polled[i]->watch && net->polled[i]->fd == fd)
			break;
		if (!net->polled[i]->watch && unused == net->polled_count)
			unused = i;
	}
	if (i == net->polled_count)
		i = unused;
	if (i == net->polled_count) {
		net->polled = must_realloc(net->polled, (i + 1) * sizeof(*net->polled));
		net->polled[net->polled_count++] = must_alloc(sizeof(**net->polled));
	}
	slot = net->polled[i];
	slot->net = net;
	slot->wanted = true;
	if (!slot->watch) {
		slot->fd = fd;
		slot->watch = loop_watch(net->loop, fd, events_to_loop(events), on_ready, slot);
	} else if (slot->events != events) {
		loop_watch_change(slot->watch, events_to_loop(events));
	}
	slot->events = events;
	return (int)i;
}

static int get_events(int index, void *opaque)
{
	struct user_net *net = opaque;

	return index < 0 || (unsigned)index >= net->polled_count ? 0
								 : net->polled[index]->seen_events;
}

/* Brings watches and the timeout to what libslirp wants now. */
static void prepare(struct user_net *net)
{
	uint32_t timeout_ms = UINT32_MAX;

	for (unsigned i = 0; i < net->polled_count; i++)
		net->polled[i]->wanted = false;
	slirp_pollfds_fill(net->slirp, &timeout_ms, add_poll, net);
	for (unsigned i = 0; i < net->polled_count; i++) {
		net->polled[i]->seen_events = 0;
		if (!net->polled[i]->wanted)
			slot_stop(net->polled[i]);
	}
	if (timeout_ms == UINT32_MAX)
		loop_timer_stop(net->timeout);
	else
		loop_timer_arm(net->timeout, host_now_ns() + timeout_ms * 1000000ull);
}

/* On the loop's thread: frames came, a descriptor is ready, or a timeout is over. */
static void run(void *context)
{
	struct user_net *net = context;
	struct net_frame *frame;

	while ((frame = outbox_take(&net->outbox))) {
		slirp_input(net->slirp, frame->data, (int)frame->bytes);
		free(frame);
	}
	if (net->events_seen) {
		net->events_seen = false;
		slirp_pollfds_poll(net->slirp, 0, get_events, net);
	}
	prepare(net);
}

static void on_timeout(void *context)
{
	struct user_net *net = context;

	net->events_seen = true;
	outbox_wake(&net->outbox);
}

static ssize_t on_packet(const void *frame, size_t bytes, void *opaque)
{
	struct user_net *net = opaque;

	if (net->netdev)
		netdev_deliver(net->netdev, frame, bytes);
	return (ssize_t)bytes;
}

static void on_guest_error(const char *message, void *opaque)
{
	(void)opaque;
	log_line("user network: the guest did wrong: %s", message);
}

static int64_t now_ns(void *opaque)
{
	(void)opaque;
	return (int64_t)host_now_ns();
}

static void on_slirp_timer(void *context)
{
	struct slirp_timer *timer = context;

	slirp_handle_timer(timer->net->slirp, timer->id, timer->context);
	outbox_wake(&timer->net->outbox);
}

static void *timer_new(SlirpTimerId id, void *context, void *opaque)
{
	struct slirp_timer *timer = must_alloc(sizeof(*timer));

	*timer = (struct slirp_timer){ .net = opaque, .id = id, .context = context };
	timer->timer = loop_timer_new(timer->net->loop, on_slirp_timer, timer);
	return timer;
}

static void timer_free(void *handle, void *opaque)
{
	struct slirp_timer *timer = handle;

	(void)opaque;
	loop_timer_free(timer->timer);
	free(timer);
}

static void timer_mod(void *handle, int64_t expire_ms, void *opaque)
{
	(void)opaque;
	loop_timer_arm(((struct slirp_timer *)handle)->timer,
		       (uint64_t)MAX(expire_ms, 0) * 1000000);
}

static void fd_opened(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

/* It is about to be closed; its number may come back as another socket's. */
static void fd_closing(int fd, void *opaque)
{
	struct user_net *net = opaque;

	for (unsigned i = 0; i < net->polled_count; i++) {
		if (net->polled[i]->watch && net->polled[i]->fd == fd)
			slot_stop(net->polled[i]);
	}
}

static void on_notify(void *opaque)
{
	outbox_wake(&((struct user_net *)opaque)->outbox);
}

static const SlirpCb callbacks = {
	.send_packet = on_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = now_ns,
	.timer_new_opaque = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = fd_opened,
	.unregister_poll_fd = fd_closing,
	.notify = on_notify,
};

static void user_send(void *peer, const uint8_t *frame, size_t bytes)
{
	outbox_put(&((struct user_net *)peer)->outbox, frame, bytes);
}

static void user_release(void *context)
{
	free(context);
}

static void user_close(void *peer)
{
	struct user_net *net = peer;

	net->netdev = NULL;
	if (net->slirp)
		slirp_cleanup(net->slirp);
	net->slirp = NULL;
	for (unsigned i = 0; i < net->polled_count; i++) {
		slot_stop(net->polled[i]);
		free(net->polled[i]);
	}
	free(net->polled);
	loop_timer_free(net->timeout);
	outbox_close(&net->outbox);
}

static const struct netdev_driver user_driver = {
	.name = "user",
	.send = user_send,
	.close = user_close,
};

/* ---- options ---- */

static int read_address(struct options *options, const char *key, struct in_addr *to,
			struct err *err)
{
	const char *text = options_get(options, key);

	if (text && !inet_aton(text, to))
		return fail(err, EINVAL, "%s: %s=\"%s\" is not an IPv4 address", options->what, key,
			    text);
	return 0;
}

static int read_address6(struct options *options, const char *key, struct in6_addr *to,
			 struct err *err)
{
	const char *text = options_get(options, key);

	if (text && inet_pton(AF_INET6, text, to) != 1)
		return fail(err, EINVAL, "%s: %s=\"%s\" is not an IPv6 address", options->what, key,
			    text);
	return 0;
}

static struct in_addr host_in(const SlirpConfig *config, uint32_t number)
{
	return (struct in_addr){ config->vnetwork.s_addr |
				 (htonl(number) & ~config->vnetmask.s_addr) };
}

/* net=A.B.C.D[/bits or mask] */
static int read_net(struct options *options, SlirpConfig *config, struct err *err)
{
	const char *text = options_get(options, "net");
	char address[32];
	const char *slash;
	unsigned long bits = 24;
	char *end;

	inet_aton("10.0.2.0", &config->vnetwork);
	config->vnetmask.s_addr = htonl(0xffffff00);
	if (!text)
		return 0;
	slash = strchr(text, '/');
	snprintf(address, sizeof(address), "%.*s", (int)(slash ? slash - text : (long)strlen(text)),
		 text);
	if (!inet_aton(address, &config->vnetwork))
		return fail(err, EINVAL, "%s: net=\"%s\" is not an IPv4 network", options->what,
			    text);
	if (slash && strchr(slash, '.')) {
		if (!inet_aton(slash + 1, &config->vnetmask))
			return fail(err, EINVAL, "%s: net=\"%s\" has no good mask", options->what,
				    text);
	} else if (slash) {
		bits = strtoul(slash + 1, &end, 10);
		if (*end || end == slash + 1 || bits < 4 || bits > 30)
			return fail(err, EINVAL, "%s: net=\"%s\" needs 4 to 30 bits of mask",
				    options->what, text);
		config->vnetmask.s_addr = htonl(~0u << (32 - bits));
	}
	config->vnetwork.s_addr &= config->vnetmask.s_addr;
	return 0;
}

static int read_ipv4(struct options *options, SlirpConfig *config, struct err *err)
{
	static const struct {
		const char *key;
		size_t member;
	} hosts[] = { { "host", offsetof(SlirpConfig, vhost) },
		      { "dhcpstart", offsetof(SlirpConfig, vdhcp_start) },
		      { "dns", offsetof(SlirpConfig, vnameserver) } };
	int error = read_net(options, config, err);

	if (error)
		return error;
	config->vhost = host_in(config, 0x0202);
	config->vdhcp_start = host_in(config, 0x020f);
	config->vnameserver = host_in(config, 0x0203);
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		struct in_addr *to = (struct in_addr *)((char *)config + hosts[i].member);

		error = read_address(options, hosts[i].key, to, err);
		if (error)
			return error;
		if ((to->s_addr & config->vnetmask.s_addr) != config->vnetwork.s_addr)
			return fail(err, EINVAL, "%s: %s=%s is outside of net=", options->what,
				    hosts[i].key, inet_ntoa(*to));
	}
	if (config->vhost.s_addr == config->vnameserver.s_addr)
		return fail(err, EINVAL, "%s: host= and dns= must differ", options->what);
	return 0;
}

static int read_ipv6(struct options *options, SlirpConfig *config, struct err *err)
{
	uint64_t length;
	int error;

	inet_pton(AF_INET6, "fec0::", &config->vprefix_addr6);
	error = read_address6(options, "ipv6-prefix", &config->vprefix_addr6, err);
	if (!error)
		error = options_number(options, "ipv6-prefixlen", 64, &length, err);
	if (!error && length > 126)
		error = fail(err, EINVAL, "%s: ipv6-prefixlen is at most 126", options->what);
	if (error)
		return error;
	config->vprefix_len = (uint8_t)length;
	config->vhost6 = config->vprefix_addr6;
	config->vhost6.s6_addr[15] |= 2;
	config->vnameserver6 = config->vprefix_addr6;
	config->vnameserver6.s6_addr[15] |= 3;
	error = read_address6(options, "ipv6-host", &config->vhost6, err);
	return error ? error : read_address6(options, "ipv6-dns", &config->vnameserver6, err);
}

static int read_config(struct options *options, SlirpConfig *config, const char **search,
		       struct err *err)
{
	bool restricted;
	int error;

	*config = (SlirpConfig){ .version = 4 };
	error = options_bool(options, "restrict", false, &restricted, err);
	if (!error)
		error = options_bool(options, "ipv4", true, &config->in_enabled, err);
	if (!error)
		error = options_bool(options, "ipv6", true, &config->in6_enabled, err);
	if (!error)
		error = read_ipv4(options, config, err);
	if (!error)
		error = read_ipv6(options, config, err);
	config->restricted = restricted;
	config->vhostname = options_get(options, "hostname");
	config->vdomainname = options_get(options, "domainname");
	config->tftp_server_name = options_get(options, "tftp-server-name");
	config->tftp_path = options_get(options, "tftp");
	config->bootfile = options_get(options, "bootfile");
	for (unsigned n = 0; n < SEARCH_MAX; n++) {
		search[n] = options_get_nth(options, "dnssearch", n);
		if (!search[n])
			break;
	}
	if (search[0])
		config->vdnssearch = search;
	return error;
}

/* Cuts `*rest` at the first `mark`; the part before it, "" when there is no mark. */
static char *cut(char **rest, char mark)
{
	char *part = *rest, *at = strchr(part, mark);

	if (!at)
		return NULL;
	*at = 0;
	*rest = at + 1;
	return part;
}

static bool read_port(const char *text, unsigned long lowest, int *port)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	*port = (int)number;
	return *text && !*end && number >= lowest && number <= 65535;
}

/* [tcp|udp]:[host address]:host port-[guest address]:guest port */
static int add_hostfwd(struct user_net *net, const char *what, const char *rule, struct err *err)
{
	char *copy = must_strdup(rule), *rest = copy;
	const char *protocol = cut(&rest, ':'), *host = cut(&rest, ':'), *port = cut(&rest, '-');
	const char *guest = cut(&rest, ':');
	struct in_addr host_address = { 0 }, guest_address = { 0 };
	bool is_udp = protocol && !strcmp(protocol, "udp");
	int host_port, guest_port, error = 0;

	if (!protocol || !host || !port || !guest ||
	    (*protocol && !is_udp && strcmp(protocol, "tcp")) ||
	    (*host && !inet_aton(host, &host_address)) || !read_port(port, 0, &host_port) ||
	    (*guest && !inet_aton(guest, &guest_address)) || !read_port(rest, 1, &guest_port))
		error = fail(err, EINVAL,
			     "%s: hostfwd=\"%s\" is not tcp|udp:[ADDRESS]:PORT-[ADDRESS]:PORT",
			     what, rule);
	else if (slirp_add_hostfwd(net->slirp, is_udp, host_address, host_port, guest_address,
				   guest_port) < 0)
		error = fail(err, errno ? errno : EADDRINUSE,
			     "%s: hostfwd=\"%s\": cannot listen at port %d: %s; another program "
			     "may use it",
			     what, rule, host_port, strerror(errno ? errno : EADDRINUSE));
	free(copy);
	return error;
}

/* tcp:address:port-cmd:COMMAND */
static int add_guestfwd(struct user_net *net, const char *what, const char *rule, struct err *err)
{
	char *copy = must_strdup(rule), *rest = copy;
	const char *protocol = cut(&rest, ':'), *host = cut(&rest, ':'), *port = cut(&rest, '-');
	struct in_addr address;
	int number, error = 0;

	if (!protocol || !host || !port || (*protocol && strcmp(protocol, "tcp")) ||
	    !inet_aton(host, &address) || !read_port(port, 1, &number))
		error = fail(err, EINVAL, "%s: guestfwd=\"%s\" is not tcp:ADDRESS:PORT-cmd:COMMAND",
			     what, rule);
	else if (strncmp(rest, "cmd:", 4))
		error = fail(err, ENOTSUP, "%s: guestfwd=\"%s\": only cmd: is supported", what,
			     rule);
	else if (slirp_add_exec(net->slirp, rest + 4, &address, number) < 0)
		error = fail(err, EINVAL,
			     "%s: guestfwd=\"%s\": this address and port cannot be had", what,
			     rule);
	free(copy);
	return error;
}

static int add_forwards(struct user_net *net, struct options *options, struct err *err)
{
	const char *rule;
	int error = 0;

	for (unsigned n = 0; !error && (rule = options_get_nth(options, "hostfwd", n)); n++)
		error = add_hostfwd(net, options->what, rule, err);
	for (unsigned n = 0; !error && (rule = options_get_nth(options, "guestfwd", n)); n++)
		error = add_guestfwd(net, options->what, rule, err);
	return error;
}

int user_netdev_open(struct board *board, struct loop *loop, const char *id,
		     struct options *options, struct err *err)
{
	const char *search[SEARCH_MAX + 1] = { NULL };
	struct user_net *net;
	SlirpConfig config;
	int error = read_config(options, &config, search, err);

	options_get_nth(options, "hostfwd", 0); /* are known keys */
	options_get_nth(options, "guestfwd", 0);
	if (!error && options_get(options, "smb"))
		error = fail(err, ENOTSUP, "%s: smb= is not supported", options->what);
	if (!error)
		error = options_check(options, err);
	if (error)
		return error;

	net = must_alloc(sizeof(*net));
	net->loop = loop;
	outbox_init(&net->outbox, loop, net);
	net->outbox.run = run;
	net->outbox.release = user_release;
	net->timeout = loop_timer_new(loop, on_timeout, net);
	net->slirp = slirp_new(&config, &callbacks, net);
	if (!net->slirp)
		error = fail(err, EINVAL, "%s: libslirp refuses these options", options->what);
	if (!error)
		error = add_forwards(net, options, err);
	if (!error) {
		net->netdev = netdev_new(board, id, &user_driver, net, err);
		if (!net->netdev)
			error = -EEXIST;
	}
	if (error)
		user_close(net);
	else
		outbox_wake(&net->outbox);
	return error;
}
