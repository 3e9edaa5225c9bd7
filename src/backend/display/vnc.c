/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VNC server: see vnc.h.
 *
 * libvncserver speaks the protocol; we give it sockets, pixels and time on one thread with a loop of
 * its own, because the library waits for slow clients: they can delay each other, never the machine.
 * Thirty times a second, while somebody is connected, the screen is drawn and what really changed is
 * copied into the library's frame buffer, so nothing is ever sent from pixels a device is writing.
 *
 * Manual: RFC 6143.
 * Not modelled: TLS, SASL, websockets, clipboard, audio, keyboard layouts, resizing by the client.
 */
#include "backend/display/vnc.h"

#include "backend/display/keysym.h"
#include "backend/display/vnc_listen.h"
#include "core/board.h"
#include "host/loop.h"
#include "host/memory.h"
#include "host/thread.h"

#include <errno.h>
#include <rfb/rfb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 16, TICK_NS = 33000000, PATIENCE_MS = 3000, TILE_WIDTH = 64, TILE_HEIGHT = 16,
       KEYS = KEY_PRINT + 1, SHIFT = 0x2a, SHIFT_RIGHT = 0x36, CAPS_LOCK = 0x3a,
       FULL_SCALE = 32767, WHEEL_UP = 8, WHEEL_DOWN = 16 };

struct client {
	struct vnc *vnc;
	rfbClientPtr rfb;
	struct loop_watch *watch;
	struct vnc_status peer;
	int fd;
	bool down[KEYS];
	bool shift_lent; /* we hold shift for a key it typed without */
	unsigned shift_key;
	bool caps;
	int x, y; /* where its pointer was */
	bool has_place;
	int buttons;
};

struct rect {
	uint32_t left, top, right, bottom; /* right, bottom: first outside */
};

struct vnc {
	struct board *board;
	struct loop *loop; /* of the thread */
	struct thread *thread;
	struct loop_timer *tick;
	struct vnc_listen listen;
	struct loop_watch *watches[VNC_LISTENERS];
	rfbScreenInfoPtr screen;
	uint32_t *pixels; /* the library's frame buffer */
	uint32_t width, height;
	char *name;
	struct display_viewer viewer;
	bool watching; /* the viewer is among the display's */
	bool needs_password;
	struct rect dirty; /* under the board's lock */

	struct mutex lock; /* of what follows; taken last */
	struct client *clients[CLIENTS];
	char password[9];
	bool has_password, closing;
};

static struct vnc *vnc_of(rfbScreenInfoPtr screen)
{
	return screen->screenData;
}

/* Under the board's lock, any thread. */
static void on_changed(void *viewer, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
	struct rect *d = &((struct vnc *)viewer)->dirty;

	if (d->left >= d->right || d->top >= d->bottom) {
		*d = (struct rect){ x, y, x + w, y + h };
		return;
	}
	d->left = MIN(d->left, x);
	d->top = MIN(d->top, y);
	d->right = MAX(d->right, x + w);
	d->bottom = MAX(d->bottom, y + h);
}

static void on_resized(void *viewer, const struct surface *surface)
{
	on_changed(viewer, 0, 0, surface->width, surface->height);
}

/* The library's format of 32 bits, made ours: 0x00RRGGBB. */
static void set_format(struct vnc *vnc)
{
	rfbClientIteratorPtr each;
	rfbClientPtr client;

	vnc->screen->serverFormat.redShift = 16;
	vnc->screen->serverFormat.greenShift = 8;
	vnc->screen->serverFormat.blueShift = 0;
	each = rfbGetClientIterator(vnc->screen);
	while ((client = rfbClientIteratorNext(each)))
		vnc->screen->setTranslateFunction(client);
	rfbReleaseClientIterator(each);
}

/* Not under the board's lock: the library may have something to send. */
static void install(struct vnc *vnc, uint32_t *pixels, uint32_t width, uint32_t height)
{
	uint32_t *old = vnc->pixels;

	vnc->pixels = pixels;
	vnc->width = width;
	vnc->height = height;
	rfbNewFramebuffer(vnc->screen, (char *)pixels, (int)width, (int)height, 8, 3, 4);
	set_format(vnc);
	free(old);
}

static uint32_t *copy_all(const struct surface *from)
{
	uint32_t *pixels = try_alloc((size_t)from->width * from->height * sizeof(*pixels));

	for (uint32_t y = 0; y < from->height && pixels; y++)
		memcpy(pixels + (size_t)y * from->width,
		       from->pixels + (size_t)y * from->stride / 4,
		       from->width * sizeof(*pixels));
	return pixels;
}

/* Copies one tile; true if anything in it is new. */
static bool copy_tile(struct vnc *vnc, const struct surface *from, const struct rect *tile)
{
	size_t bytes = (tile->right - tile->left) * sizeof(uint32_t);
	bool changed = false;

	for (uint32_t y = tile->top; y < tile->bottom; y++) {
		const uint32_t *source = from->pixels + (size_t)y * from->stride / 4 + tile->left;
		uint32_t *to = vnc->pixels + (size_t)y * vnc->width + tile->left;

		if (!memcmp(to, source, bytes))
			continue;
		memcpy(to, source, bytes);
		changed = true;
	}
	return changed;
}

static void copy_changes(struct vnc *vnc, const struct surface *from)
{
	struct rect d = vnc->dirty;

	d.right = MIN(d.right, vnc->width);
	d.bottom = MIN(d.bottom, vnc->height);
	for (uint32_t y = ALIGN_DOWN(d.top, TILE_HEIGHT); y < d.bottom; y += TILE_HEIGHT) {
		for (uint32_t x = ALIGN_DOWN(d.left, TILE_WIDTH); x < d.right; x += TILE_WIDTH) {
			struct rect tile = { x, y, MIN(x + TILE_WIDTH, vnc->width),
					     MIN(y + TILE_HEIGHT, vnc->height) };

			if (copy_tile(vnc, from, &tile))
				rfbMarkRectAsModified(vnc->screen, (int)tile.left, (int)tile.top,
						      (int)tile.right, (int)tile.bottom);
		}
	}
	vnc->dirty = (struct rect){ 0 };
}

static void draw(struct vnc *vnc)
{
	struct display *display = board_display(vnc->board);
	const struct surface *surface;
	uint32_t *resized = NULL, width, height;

	if (!display)
		return;
	board_lock(vnc->board);
	display_refresh(display);
	surface = display_surface(display);
	width = surface->width;
	height = surface->height;
	if (width == vnc->width && height == vnc->height) {
		copy_changes(vnc, surface);
	} else {
		resized = copy_all(surface);
		vnc->dirty = (struct rect){ 0 };
	}
	board_unlock(vnc->board);
	if (resized)
		install(vnc, resized, width, height);
}

/* Gone clients are freed here only, never inside the library's own calls. */
static void bury(struct vnc *vnc)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (vnc->clients[i] && vnc->clients[i]->rfb->sock == RFB_INVALID_SOCKET)
			rfbClientConnectionGone(vnc->clients[i]->rfb);
}

static bool has_clients(const struct vnc *vnc)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (vnc->clients[i])
			return true;
	return false;
}

static void watch_display(struct vnc *vnc, bool on)
{
	struct display *display = board_display(vnc->board);

	if (vnc->watching == on || !display)
		return;
	vnc->watching = on;
	if (on)
		display_add_viewer(display, &vnc->viewer);
	else
		display_remove_viewer(display, &vnc->viewer);
}

static void on_tick(void *context)
{
	struct vnc *vnc = context;

	bury(vnc);
	watch_display(vnc, has_clients(vnc));
	if (!has_clients(vnc))
		return;
	draw(vnc);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (vnc->clients[i])
			rfbUpdateClient(vnc->clients[i]->rfb);
	bury(vnc);
	loop_timer_arm(vnc->tick, host_now_ns() + TICK_NS);
}

static void on_message(void *context, unsigned events)
{
	struct client *client = context;
	struct vnc *vnc = client->vnc;

	rfbProcessClientMessage(client->rfb);
	if (client->rfb->sock != RFB_INVALID_SOCKET)
		rfbUpdateClient(client->rfb);
	bury(vnc);
}

static void send_key(struct client *client, unsigned key, bool down)
{
	client->down[key] = down;
	if (key == CAPS_LOCK && down)
		client->caps = !client->caps;
	input_key(client->vnc->board, key, down);
}

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr rfb)
{
	struct client *client = rfb->clientData;
	bool shifted, letter = keysym >= 'A' && keysym <= 'Z';
	int key = key_of_keysym(keysym, &shifted);

	if (!client || key < 0 || key >= KEYS || (!down && !client->down[key]))
		return;
	if (down && shifted && !client->down[SHIFT] && !client->down[SHIFT_RIGHT] &&
	    !(letter && client->caps) && !client->shift_lent) {
		client->shift_lent = true;
		client->shift_key = (unsigned)key;
		input_key(client->vnc->board, SHIFT, true);
	}
	send_key(client, (unsigned)key, down);
	if (!down && client->shift_lent && client->shift_key == (unsigned)key) {
		client->shift_lent = false;
		input_key(client->vnc->board, SHIFT, false);
	}
}

static void send_buttons(struct client *client, int mask)
{
	struct board *board = client->vnc->board;
	unsigned now = (mask & 1 ? BUTTON_LEFT : 0u) | (mask & 2 ? BUTTON_MIDDLE : 0u) |
		       (mask & 4 ? BUTTON_RIGHT : 0u);

	if ((mask ^ client->buttons) & 7)
		input_buttons(board, now);
	if (mask & ~client->buttons & WHEEL_UP)
		input_move(board, 0, 0, -1);
	if (mask & ~client->buttons & WHEEL_DOWN)
		input_move(board, 0, 0, 1);
	client->buttons = mask;
}

static void on_pointer(int mask, int x, int y, rfbClientPtr rfb)
{
	struct client *client = rfb->clientData;
	struct vnc *vnc;
	int width, height;

	if (!client)
		return;
	vnc = client->vnc;
	width = (int)MAX(vnc->width, 2u) - 1;
	height = (int)MAX(vnc->height, 2u) - 1;
	x = MAX(MIN(x, width), 0);
	y = MAX(MIN(y, height), 0);
	if (input_wants_absolute(vnc->board))
		input_place(vnc->board, (uint32_t)(x * (int64_t)FULL_SCALE / width),
			    (uint32_t)(y * (int64_t)FULL_SCALE / height));
	else if (client->has_place && (x != client->x || y != client->y))
		input_move(vnc->board, x - client->x, y - client->y, 0);
	client->x = x;
	client->y = y;
	client->has_place = true;
	send_buttons(client, mask);
}

static rfbBool check_password(rfbClientPtr rfb, const char *response, int length)
{
	struct vnc *vnc = vnc_of(rfb->screen);
	unsigned char expected[CHALLENGESIZE];
	char password[9];
	bool has;

	mutex_lock(&vnc->lock);
	memcpy(password, vnc->password, sizeof(password));
	has = vnc->has_password;
	mutex_unlock(&vnc->lock);
	memcpy(expected, rfb->authChallenge, sizeof(expected));
	rfbEncryptBytes(expected, password);
	return has && length == CHALLENGESIZE && !memcmp(expected, response, CHALLENGESIZE);
}

/* Whatever it held is let go. */
static void on_gone(rfbClientPtr rfb)
{
	struct client *client = rfb->clientData;
	struct vnc *vnc;

	if (!client)
		return;
	vnc = client->vnc;
	for (unsigned key = 0; key < KEYS; key++)
		if (client->down[key])
			input_key(vnc->board, key, false);
	if (client->shift_lent)
		input_key(vnc->board, SHIFT, false);
	if (client->buttons & 7)
		input_buttons(vnc->board, 0);
	if (client->watch)
		loop_unwatch(client->watch);
	mutex_lock(&vnc->lock);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (vnc->clients[i] == client)
			vnc->clients[i] = NULL;
	mutex_unlock(&vnc->lock);
	rfb->clientData = NULL;
	free(client);
}

static struct client *free_place(struct vnc *vnc, int fd)
{
	struct client *client = must_alloc(sizeof(*client));

	client->vnc = vnc;
	client->fd = fd;
	vnc_name_socket(fd, true, &client->peer);
	mutex_lock(&vnc->lock);
	for (unsigned i = 0; i < CLIENTS && !vnc->closing; i++) {
		if (vnc->clients[i])
			continue;
		vnc->clients[i] = client;
		mutex_unlock(&vnc->lock);
		return client;
	}
	mutex_unlock(&vnc->lock);
	free(client);
	return NULL;
}

static void take_place_away(struct vnc *vnc, struct client *client)
{
	mutex_lock(&vnc->lock);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (vnc->clients[i] == client)
			vnc->clients[i] = NULL;
	mutex_unlock(&vnc->lock);
	free(client);
}

static void on_connection(struct vnc *vnc, int listener)
{
	struct client *client;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	/* The library keeps descriptors in an fd_set. */
	client = fd < FD_SETSIZE ? free_place(vnc, fd) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->rfb = rfbNewClient(vnc->screen, fd); /* closes it when it fails */
	if (!client->rfb) {
		take_place_away(vnc, client);
		return;
	}
	client->rfb->clientData = client;
	client->rfb->clientGoneHook = on_gone;
	client->watch = loop_watch(vnc->loop, fd, LOOP_READ, on_message, client);
	loop_timer_arm(vnc->tick, host_now_ns());
}

static void on_listener(void *context, unsigned events)
{
	struct vnc *vnc = context;

	for (unsigned i = 0; i < vnc->listen.count; i++)
		on_connection(vnc, vnc->listen.fd[i]);
}

static void serve(void *context)
{
	struct vnc *vnc = context;

	loop_run(vnc->loop);
	watch_display(vnc, false);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (!vnc->clients[i])
			continue;
		rfbCloseClient(vnc->clients[i]->rfb);
		rfbClientConnectionGone(vnc->clients[i]->rfb);
	}
}

static void be_silent(const char *format, ...)
{
	(void)format;
}

static bool make_screen(struct vnc *vnc)
{
	rfbScreenInfoPtr screen;

	rfbLog = rfbErr = be_silent;
	vnc->width = 640;
	vnc->height = 480;
	vnc->pixels = must_alloc((size_t)vnc->width * vnc->height * sizeof(*vnc->pixels));
	screen = vnc->screen = rfbGetScreen(NULL, NULL, 640, 480, 8, 3, 4);
	if (!screen)
		return false;
	screen->screenData = vnc;
	screen->desktopName = vnc->name;
	screen->frameBuffer = (char *)vnc->pixels;
	screen->port = screen->ipv6port = 0; /* we listen ourselves */
	screen->alwaysShared = TRUE;
	screen->cursor = NULL;
	screen->deferUpdateTime = 0;
	screen->maxClientWait = rfbMaxClientWait = PATIENCE_MS;
	screen->kbdAddEvent = on_key;
	screen->ptrAddEvent = on_pointer;
	if (vnc->needs_password) {
		screen->authPasswdData = vnc;
		screen->passwordCheck = check_password;
	}
	set_format(vnc);
	rfbInitServer(screen);
	return true;
}

static void vnc_free(struct vnc *vnc)
{
	for (unsigned i = 0; i < vnc->listen.count; i++)
		if (vnc->watches[i])
			loop_unwatch(vnc->watches[i]);
	vnc_listen_close(&vnc->listen);
	if (vnc->tick)
		loop_timer_free(vnc->tick);
	if (vnc->loop)
		loop_free(vnc->loop);
	if (vnc->screen) {
		rfbShutdownServer(vnc->screen, TRUE);
		rfbScreenCleanup(vnc->screen);
	}
	mutex_fini(&vnc->lock);
	free(vnc->pixels);
	free(vnc->name);
	free(vnc);
}

struct vnc *vnc_open(struct board *board, const struct vnc_options *options, struct err *err)
{
	struct vnc *vnc = must_alloc(sizeof(*vnc));

	mutex_init(&vnc->lock);
	vnc->board = board;
	vnc->name = options->name ? must_format("QEMU (%s)", options->name) : must_strdup("QEMU");
	vnc->needs_password = options->password;
	vnc->viewer = (struct display_viewer){ .resized = on_resized, .changed = on_changed,
					       .viewer = vnc };
	if (vnc_listen_open(&vnc->listen, options, err))
		goto undo;
	if (!make_screen(vnc)) {
		fail(err, ENOMEM, "no memory for the VNC server");
		goto undo;
	}
	vnc->loop = loop_new();
	vnc->tick = loop_timer_new(vnc->loop, on_tick, vnc);
	for (unsigned i = 0; i < vnc->listen.count; i++)
		vnc->watches[i] = loop_watch(vnc->loop, vnc->listen.fd[i], LOOP_READ, on_listener,
					     vnc);
	vnc->thread = thread_start("vnc", serve, vnc);
	if (vnc->thread)
		return vnc;
	fail(err, EAGAIN, "cannot start the VNC server's thread");
undo:
	vnc_free(vnc);
	return NULL;
}

void vnc_close(struct vnc *vnc)
{
	mutex_lock(&vnc->lock);
	vnc->closing = true;
	for (unsigned i = 0; i < CLIENTS; i++)
		if (vnc->clients[i]) /* wakes the library where it waits for a slow one */
			shutdown(vnc->clients[i]->fd, SHUT_RDWR);
	mutex_unlock(&vnc->lock);
	loop_quit(vnc->loop, 0);
	thread_join(vnc->thread);
	vnc_free(vnc);
}

int vnc_set_password(struct vnc *vnc, const char *password, struct err *err)
{
	if (!vnc->needs_password)
		return fail(err, EINVAL, "VNC has no passwords; start it with -vnc ADDRESS,password=on");
	mutex_lock(&vnc->lock);
	snprintf(vnc->password, sizeof(vnc->password), "%.8s", password);
	vnc->has_password = *password != 0;
	mutex_unlock(&vnc->lock);
	return 0;
}

void vnc_status(struct vnc *vnc, struct vnc_status *status)
{
	*status = (struct vnc_status){ .password = vnc->needs_password };
	vnc_name_socket(vnc->listen.fd[0], false, status);
}

bool vnc_client(struct vnc *vnc, unsigned number, struct vnc_status *status)
{
	bool found = false;

	mutex_lock(&vnc->lock);
	for (unsigned i = 0; i < CLIENTS && !found; i++) {
		if (!vnc->clients[i] || number--)
			continue;
		*status = vnc->clients[i]->peer;
		found = true;
	}
	mutex_unlock(&vnc->lock);
	return found;
}
