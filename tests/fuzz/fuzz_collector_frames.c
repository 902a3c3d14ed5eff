/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that are not to be trusted, several at a time: whatever they send, read or leave, and whenever, the collector goes on and
 * ends orderly. The first byte says who they are and whether the first one has said Hello.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "fake_kernel.h"
#include "fake_uv.h"
#include "sampler.h"
#include "server.h"
#include "streams.h"
#include "watch.h"

struct collector {
	uv_loop_t loop;
	uv_signal_t on_int;
	struct sampler sampler;
	struct server server;
};

static struct config config;
static struct rules rules;
static struct cgroups *cgroups;
static int fds[2]; /* of root and of somebody else */

static void on_interrupt(uv_signal_t *signal, int number)
{
	struct collector *collector = signal->data;

	(void)number;
	server_stop(&collector->server);
	sampler_stop(&collector->sampler);
	uv_close((uv_handle_t *)signal, NULL);
}

static int socket_of(uid_t uid)
{
	int pair[2];

	if (seteuid(uid))
		return -1;
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	assert(seteuid(getuid()) == 0);
	return pair[0];
}

static void begin_once(void)
{
	char error[512];

	config_defaults(&config);
	snprintf(config.socket, sizeof(config.socket), "/tmp/taskmon-fuzz-%d.sock", (int)getpid());
	config.queue_bytes = 16384;
	config.max_clients = 5;
	assert(rules_load(&rules, "config/known-apps.json", NULL, error, sizeof(error)) == 0);
	cgroups = cgroups_new();
	fds[0] = socket_of(getuid());
	fds[1] = socket_of(65534);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* a connection, and its Hello */
	static const uint8_t greeting[] = { 5, 0, 4, 0, 0x0a, 0x02, 0x08, 0x01 };
	static uint8_t script[1 << 16];
	struct collector *collector;
	struct streams *streams;
	struct requests requests;
	struct dispatch *dispatch;
	struct watches *watches;
	size_t greeted;

	if (!config.socket[0])
		begin_once();
	if (size == 0 || size > sizeof(script) - sizeof(greeting))
		return 0;
	greeted = data[0] & 1 ? sizeof(greeting) : 0;
	memcpy(script, greeting, greeted);
	memcpy(script + greeted, data + 1, size - 1);
	fake_uv_script(script, greeted + size - 1);
	fake_uv_set_fd(fds[data[0] >> 1 & 1]);
	close(open(config.socket, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); /* uv_pipe_bind() of a fake makes none */

	collector = calloc(1, sizeof(*collector));
	watches = watches_new(NULL, &rules);
	streams = streams_new(NULL);
	dispatch = dispatch_new(NULL, watches, cgroups, NULL, NULL, streams, NULL);
	assert(collector && watches && streams && dispatch);
	fake_kernel_begin(dispatch, data[0] * 1000003ULL + size);
	requests = (struct requests){ NULL, dispatch, &collector->sampler, &rules, watches, NULL, NULL };
	collector->server.config = &config;
	collector->server.lock_fd = -1; /* it is alone */
	uv_signal_init(&collector->loop, &collector->on_int);
	collector->on_int.data = collector;
	uv_signal_start(&collector->on_int, on_interrupt, SIGINT);
	assert(sampler_start(&collector->sampler, &collector->loop, NULL, watches, dispatch, streams) == 0);
	assert(server_bind(&collector->server, &collector->loop) == 0);
	assert(server_start(&collector->server, &requests) == 0);
	uv_run(&collector->loop, UV_RUN_DEFAULT);
	assert(dispatch_feed_count(dispatch) == 0 && collector->server.session_count == 0);
	server_unlock(&collector->server);
	dispatch_free(dispatch);
	streams_free(streams);
	watches_free(watches);
	free(collector);
	return 0;
}
