/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * taskmon-collector: kernel -> sampler and ring -> dispatch -> feeds -> sessions -> clients.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "aside.h"
#include "cgroup.h"
#include "config.h"
#include "dispatch.h"
#include "doctor.h"
#include "heap.h"
#include "kernel.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "privilege.h"
#include "probe.h"
#include "sampler.h"
#include "server.h"
#include "smaps.h"
#include "streams.h"
#include "uprobe_opener.h"
#include "watch.h"

struct collector {
	uv_loop_t loop;
	uv_signal_t on_int, on_term, on_hup;
	struct config config;
	const char *config_path; /* NULL: there is no file */
	struct rules rules;
	struct kernel *kernel;
	struct watches *watches;
	struct cgroups *cgroups;
	struct smaps *smaps;
	struct probes *probes;
	struct streams *streams;
	struct heap *heap;
	struct dispatch *dispatch;
	struct sampler sampler;
	struct requests requests;
	struct server server;
};

static void on_stop_signal(uv_signal_t *handle, int number)
{
	struct collector *collector = handle->data;

	log_debug(NULL, "signal %d: ending", number);
	server_stop(&collector->server);
	sampler_stop(&collector->sampler);
	heap_stop(collector->heap);
	uv_close((uv_handle_t *)&collector->on_int, NULL);
	uv_close((uv_handle_t *)&collector->on_term, NULL);
	uv_close((uv_handle_t *)&collector->on_hup, NULL);
}

static int load_rules(struct collector *collector)
{
	const char *known = collector->config.known_apps;
	char error[512];

	if (!known[0])
		known = access(CONFIG_KNOWN_APPS, F_OK) == 0   ? CONFIG_KNOWN_APPS :
			access(CONFIG_SHIPPED_APPS, F_OK) == 0 ? CONFIG_SHIPPED_APPS :
								 NULL;
	if (rules_load(&collector->rules, known, collector->config_path, error, sizeof(error)) == 0)
		return 0;
	log_error("rules", "%s", error);
	return -EINVAL;
}

/* Rules are read again. One with a mistake changes nothing. */
static void on_reload_signal(uv_signal_t *handle, int number)
{
	struct collector *collector = handle->data;

	(void)number;
	if (load_rules(collector)) {
		log_warning("rules", "not reloaded: the old ones stay in force");
		return;
	}
	watches_update_rules(collector->watches);
	watches_judge(collector->watches, NULL, NULL, NULL);
	log_info("rules", "reloaded: %zu rules", collector->rules.count);
}

static int watch_signals(struct collector *collector)
{
	int err;

	signal(SIGPIPE, SIG_IGN);
	uv_signal_init(&collector->loop, &collector->on_int);
	uv_signal_init(&collector->loop, &collector->on_term);
	uv_signal_init(&collector->loop, &collector->on_hup);
	collector->on_int.data = collector->on_term.data = collector->on_hup.data = collector;
	err = uv_signal_start(&collector->on_int, on_stop_signal, SIGINT);
	err = err ? err : uv_signal_start(&collector->on_hup, on_reload_signal, SIGHUP);
	return err ? err : uv_signal_start(&collector->on_term, on_stop_signal, SIGTERM);
}

/* The kernel side is loaded before the dispatch exists that its records go to; none come before it is attached. */
static void on_kernel_event(const void *record, size_t size, void *context)
{
	struct collector *collector = context;

	dispatch_event(record, size, collector->dispatch);
}

static int build(struct collector *collector)
{
	int err = kernel_open(&collector->kernel, on_kernel_event, collector);

	if (err)
		return err;
	collector->watches = watches_new(collector->kernel, &collector->rules);
	kernel_set_cgroup(collector->kernel, cgroup_root(collector->cgroups));
	collector->smaps = smaps_new(collector->config.smaps_share, collector->config.smaps_max_rss);
	collector->probes = probes_new(collector->kernel);
	kernel_set_stream_bytes(collector->kernel, collector->config.stream_bytes);
	collector->streams = streams_new(collector->kernel);
	collector->heap = heap_new(collector->kernel, &collector->config.heap);
	collector->dispatch = dispatch_new(collector->kernel, collector->watches, collector->cgroups, collector->smaps,
					   collector->probes, collector->streams, collector->heap);
	return collector->watches && collector->smaps && collector->probes && collector->streams && collector->heap &&
			       collector->dispatch ?
		       0 :
		       -ENOMEM;
}

static int serve(struct collector *collector, int notify_fd)
{
	int err;

	collector->requests = (struct requests){ collector->kernel,  collector->dispatch, &collector->sampler, &collector->rules,
						 collector->watches, collector->probes,   collector->heap };
	err = sampler_start(&collector->sampler, &collector->loop, collector->kernel, collector->watches, collector->dispatch,
			    collector->streams);
	if (!err)
		err = heap_start(collector->heap, &collector->loop);
	if (!err)
		err = server_start(&collector->server, &collector->requests);
	if (err)
		return err;
	log_info(NULL, "ready on %s", collector->config.socket);
	notify_ready(notify_fd);
	return uv_run(&collector->loop, UV_RUN_DEFAULT);
}

/* What needs more than is kept comes first. */
static int run(struct collector *collector)
{
	int notify_fd, err = uprobe_opener_start();

	if (!err)
		err = server_lock(&collector->server, &collector->config);
	if (err)
		return err;
	notify_fd = notify_open();
	uv_loop_init(&collector->loop);
	collector->cgroups = cgroups_new();
	err = collector->cgroups ? watch_signals(collector) : -ENOMEM; /* from now on there is a socket to be removed */
	if (!err)
		err = server_bind(&collector->server, &collector->loop);
	if (!err)
		err = privilege_drop();
	if (!err)
		err = build(collector);
	if (!err)
		err = serve(collector, notify_fd);
	aside_stop();
	uv_loop_close(&collector->loop);
	dispatch_free(collector->dispatch);
	probes_free(collector->probes);
	streams_free(collector->streams);
	heap_free(collector->heap);
	smaps_free(collector->smaps);
	cgroups_free(collector->cgroups);
	watches_free(collector->watches);
	kernel_close(collector->kernel);
	rules_free(&collector->rules);
	server_unlock(&collector->server);
	uprobe_opener_stop();
	return err;
}

/* Defaults, then the file, then the command line. */
static int configure(struct collector *collector, const struct options *options)
{
	struct config *config = &collector->config;
	char error[512];

	config_defaults(config);
	collector->config_path = options->config                        ? options->config :
				 access(CONFIG_DEFAULT_PATH, F_OK) == 0 ? CONFIG_DEFAULT_PATH :
									  NULL;
	if (collector->config_path && config_read(config, collector->config_path, error, sizeof(error))) {
		log_error(NULL, "%s", error);
		return -EINVAL;
	}
	if (load_rules(collector))
		return -EINVAL;
	if (!options->socket)
		return 0;
	if (strlen(options->socket) >= sizeof(config->socket)) {
		log_error(NULL, "--socket: the path is too long (at most %zu bytes)", sizeof(config->socket) - 1);
		return -EINVAL;
	}
	strcpy(config->socket, options->socket);
	return 0;
}

int main(int argc, const char **argv)
{
	static struct collector collector;
	struct options options = { 0 };
	int status = EXIT_SUCCESS, err;

	log_init("taskmon-collector", false);
	err = options_parse(&options, argc, argv);
	log_init("taskmon-collector", options.verbose);
	if (err) {
		status = err == -ECANCELED ? EXIT_SUCCESS : 2;
	} else if (options.version) {
		puts("taskmon-collector " TASKMON_VERSION);
	} else if (options.doctor) {
		status = doctor_run() ? EXIT_FAILURE : EXIT_SUCCESS;
	} else if (configure(&collector, &options)) {
		status = 2;
	} else {
		status = run(&collector) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	options_free(&options);
	return status;
}
