/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks without a board: frames go in by the driver and come out at a stand-in for the NIC. */
#include "backend/net/net.h"
#include "base/bytes.h"
#include "host/loop.h"
#include "host/memory.h"
#include "host/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { FRAMES = 64 };

static const uint64_t WAIT_NS = 60000000000; /* on a busy machine */

/* The core's side, as far as back ends see it. */
struct netdev {
	const struct netdev_driver *driver;
	void *peer;
	bool link;
	unsigned count;
	struct {
		size_t bytes;
		uint8_t data[2048];
	} frame[FRAMES];
};

static struct netdev *newest;

struct netdev *netdev_new(struct board *board, const char *id, const struct netdev_driver *driver,
			  void *peer, struct err *err)
{
	newest = calloc(1, sizeof(*newest));
	newest->driver = driver;
	newest->peer = peer;
	newest->link = true;
	return newest;
}

void netdev_deliver(struct netdev *netdev, const uint8_t *frame, size_t bytes)
{
	if (netdev->count == FRAMES || bytes > sizeof(netdev->frame[0].data))
		return;
	netdev->frame[netdev->count].bytes = bytes;
	memcpy(netdev->frame[netdev->count++].data, frame, bytes);
}

void netdev_set_link(struct netdev *netdev, bool up)
{
	netdev->link = up;
}

static int open_net(struct loop *loop, const char *text, struct err *err)
{
	struct options options;
	int error = options_parse(&options, "-netdev", text, "type", err);

	if (!error)
		error = netdev_open(NULL, loop, &options, err);
	options_free(&options);
	return error;
}

static void close_net(struct netdev *net, struct loop *loop)
{
	net->driver->close(net->peer);
	loop_turn(loop, 0);
	loop_free(loop);
	free(net);
}

/* Turns the loop until a frame satisfies `wanted`; its index. */
static int wait_for(struct netdev *net, struct loop *loop, bool (*wanted)(const uint8_t *frame))
{
	uint64_t end = host_now_ns() + WAIT_NS;
	unsigned seen = 0;

	while (host_now_ns() < end) {
		for (; seen < net->count; seen++) {
			if (wanted(net->frame[seen].data))
				return (int)seen;
		}
		loop_turn(loop, 20);
	}
	fail_msg("the frame did not come");
	return -1;
}

static uint16_t checksum(const uint8_t *data, unsigned bytes)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < bytes; i += 2)
		sum += load_be16(data + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

/* An Ethernet frame with IPv4 and UDP around `payload`. */
static size_t udp_frame(uint8_t *to, uint32_t from_ip, uint32_t to_ip, uint16_t from_port,
			uint16_t to_port, const void *payload, size_t bytes)
{
	memset(to, 0, 42);
	memset(to, 0xff, 6);
	memcpy(to + 6, guest_mac, 6);
	store_be16(to + 12, 0x800);
	to[14] = 0x45;
	store_be16(to + 16, (uint16_t)(28 + bytes));
	to[22] = 64;
	to[23] = 17;
	store_be32(to + 26, from_ip);
	store_be32(to + 30, to_ip);
	store_be16(to + 24, checksum(to + 14, 20));
	store_be16(to + 34, from_port);
	store_be16(to + 36, to_port);
	store_be16(to + 38, (uint16_t)(8 + bytes));
	memcpy(to + 42, payload, bytes);
	return 42 + bytes;
}

static bool is_dhcp_offer(const uint8_t *frame)
{
	return load_be16(frame + 12) == 0x800 && frame[23] == 17 && load_be16(frame + 36) == 68;
}

static const uint8_t *dhcp_option(const uint8_t *frame, uint8_t code)
{
	const uint8_t *at = frame + 42 + 240;

	while (*at != 255 && *at != code)
		at += *at ? 2 + at[1] : 1;
	return *at == code ? at + 2 : NULL;
}

static void dhcp_discover(struct netdev *net)
{
	uint8_t dhcp[300] = { 1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78 }, frame[400];

	memcpy(dhcp + 28, guest_mac, 6);
	store_be32(dhcp + 236, 0x63825363);
	memcpy(dhcp + 240, "\x35\x01\x01\xff", 4);
	net->driver->send(net->peer, frame, udp_frame(frame, 0, ~0u, 68, 67, dhcp, sizeof(dhcp)));
}

static void dhcp_gives_what_the_options_say(void **state)
{
	struct loop *loop = loop_new();
	const uint8_t *frame;
	struct err err;

	assert_int_equal(open_net(loop,
				  "user,id=n0,net=192.168.7.0/24,dhcpstart=192.168.7.40,"
				  "hostname=guest,bootfile=pxe.bin,domainname=example.org",
				  &err),
			 0);
	dhcp_discover(newest);
	frame = newest->frame[wait_for(newest, loop, is_dhcp_offer)].data;
	assert_int_equal(load_be32(frame + 42 + 16), 0xc0a80728);
	assert_int_equal(load_be32(dhcp_option(frame, 3)), 0xc0a80702); /* router */
	assert_int_equal(load_be32(dhcp_option(frame, 6)), 0xc0a80703); /* DNS */
	assert_memory_equal(dhcp_option(frame, 12), "guest", 5);
	assert_memory_equal(frame + 42 + 108, "pxe.bin", 8);
	close_net(newest, loop);
}

static bool is_tftp_data(const uint8_t *frame)
{
	return load_be16(frame + 12) == 0x800 && frame[23] == 17 && load_be16(frame + 36) == 5000 &&
	       load_be16(frame + 42) == 3;
}

static void tftp_serves_a_directory(void **state)
{
	char directory[] = "/tmp/kelvin-tftp-XXXXXX", text[100];
	static const char request[] = "\0\1hello.txt\0octet";
	struct loop *loop = loop_new();
	const uint8_t *data;
	uint8_t frame[200];
	struct err err;
	FILE *file;

	assert_non_null(mkdtemp(directory));
	snprintf(text, sizeof(text), "%s/hello.txt", directory);
	file = fopen(text, "w");
	fputs("over the wire", file);
	fclose(file);
	snprintf(text, sizeof(text), "user,id=n0,ipv6=off,tftp=%s", directory);
	assert_int_equal(open_net(loop, text, &err), 0);
	dhcp_discover(newest); /* makes the guest's address known */
	wait_for(newest, loop, is_dhcp_offer);
	newest->driver->send(
		newest->peer, frame,
		udp_frame(frame, 0x0a00020f, 0x0a000202, 5000, 69, request, sizeof(request)));
	data = newest->frame[wait_for(newest, loop, is_tftp_data)].data;
	assert_memory_equal(data + 46, "over the wire", 13);
	close_net(newest, loop);
	snprintf(text, sizeof(text), "%s/hello.txt", directory);
	unlink(text);
	rmdir(directory);
}

/* Keeps a TCP port, so that nobody is given it but who asks for it by number; its descriptor. */
static int take_port(unsigned *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static bool is_arp_or_syn(const uint8_t *frame)
{
	return load_be16(frame + 12) == 0x806 ||
	       (load_be16(frame + 12) == 0x800 && frame[23] == 6 && frame[47] & 2);
}

static void forwarded_ports_reach_the_guest(void **state)
{
	unsigned port;
	int kept = take_port(&port), fd;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons((uint16_t)port) };
	struct loop *loop = loop_new();
	char text[100];
	struct err err;

	snprintf(text, sizeof(text), "user,id=n0,ipv6=off,hostfwd=tcp:127.0.0.1:%u-:22", port);
	assert_int_equal(open_net(loop, text, &err), 0);
	assert_int_equal(open_net(loop, text, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another program"));
	loop_turn(loop, 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	wait_for(newest, loop, is_arp_or_syn);
	close(fd);
	close(kept);
	close_net(newest, loop);
}

static void bad_options_are_explained(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "user", "id=" },
		{ "tap,id=n0", "tap" },
		{ "user,id=n0,net=300.1.1.1", "net=" },
		{ "user,id=n0,net=10.0.0.0/2", "bits" },
		{ "user,id=n0,dhcpstart=1.2.3.4", "dhcpstart" },
		{ "user,id=n0,hostfwd=tcp::22", "hostfwd" },
		{ "user,id=n0,hostfwd=sctp::22-:22", "hostfwd" },
		{ "user,id=n0,hostfwd=tcp::99999-:22", "hostfwd" },
		{ "user,id=n0,smb=/tmp", "smb" },
		{ "user,id=n0,nonsense=1", "nonsense" },
		{ "user,id=n0,guestfwd=tcp:10.0.2.4:80-chardev:x", "cmd:" },
		{ "stream,id=n0,server=on", "addr.type" },
		{ "stream,id=n0,addr.type=unix,addr.path=/nowhere/x", "/nowhere/x" },
		{ "socket,id=n0", "listen=" },
	};
	struct loop *loop = loop_new();

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };

		assert_true(open_net(loop, cases[i].text, &err) < 0);
		if (!strstr(err.text, cases[i].says))
			fail_msg("\"%s\": \"%s\"", cases[i].text, err.text);
	}
	loop_turn(loop, 0);
	loop_free(loop);
}

static bool any_frame(const uint8_t *frame)
{
	return true;
}

static void streams_carry_frames(void **state)
{
	struct loop *loop = loop_new();
	struct netdev *server, *client;
	uint8_t frame[1500];
	char text[120], path[60];
	struct err err;
	uint64_t end;

	snprintf(path, sizeof(path), "/tmp/kelvin-net-%d", getpid());
	snprintf(text, sizeof(text), "stream,id=a,server=on,addr.type=unix,addr.path=%s", path);
	assert_int_equal(open_net(loop, text, &err), 0);
	server = newest;
	assert_false(server->link);
	snprintf(text, sizeof(text), "stream,id=b,addr.type=unix,addr.path=%s", path);
	assert_int_equal(open_net(loop, text, &err), 0);
	client = newest;
	for (unsigned i = 0; i < 20; i++) {
		memset(frame, (int)i, sizeof(frame));
		client->driver->send(client->peer, frame, 60 + i * 70);
	}
	for (end = host_now_ns() + WAIT_NS; server->count < 20 && host_now_ns() < end;)
		loop_turn(loop, 10);
	assert_int_equal(server->count, 20);
	assert_true(server->link);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(server->frame[i].bytes, 60 + i * 70);
		assert_int_equal(server->frame[i].data[59], i);
	}
	server->driver->send(server->peer, frame, 64);
	wait_for(client, loop, any_frame);
	client->driver->close(client->peer);
	free(client);
	for (end = host_now_ns() + WAIT_NS; server->link && host_now_ns() < end;)
		loop_turn(loop, 10);
	assert_false(server->link);
	close_net(server, loop);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dhcp_gives_what_the_options_say),
		cmocka_unit_test(tftp_serves_a_directory),
		cmocka_unit_test(forwarded_ports_reach_the_guest),
		cmocka_unit_test(bad_options_are_explained),
		cmocka_unit_test(streams_carry_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
