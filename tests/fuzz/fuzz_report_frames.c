/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A collector that is not to be trusted: whatever it sends, and whenever, a report ends with a status of its own and its outputs
 * are whole lines. The first byte says what report it is, and whether the conversation begins well.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exit_status.h"
#include "fake_uv.h"
#include "frame.h"
#include "metric.h"
#include "report.h"
#include "wire.h"

static char json_path[64];
static int json_fd;

static char *const reports[][8] = {
	{ "-a", "-t", "--json", json_path, "-m", "cpu,task" },
	{ "-p", "4194000", "--json", json_path, "--metrics", "all", "--children" },
	{ "-a", "--list", "tasks" },
	{ "-n", "a*", "--json", json_path, "-m", "net" },
};

/* A script in which the collector greets and serves. */
struct script {
	uint8_t bytes[1 << 17];
	size_t size;
};

static void add_byte(struct script *script, uint8_t byte)
{
	if (script->size < sizeof(script->bytes))
		script->bytes[script->size++] = byte;
}

static void add_frame(struct script *script, Taskmon__Frame *message)
{
	struct frame *frame = frame_encode(message);
	size_t size = frame->size - 4;

	assert(script->size + size + 3 <= sizeof(script->bytes));
	add_byte(script, 0);
	add_byte(script, (uint8_t)size);
	add_byte(script, (uint8_t)(size >> 8));
	memcpy(script->bytes + script->size, frame->bytes + 4, size);
	script->size += size;
	frame_unref(frame);
}

static void add_welcome(struct script *script)
{
	Taskmon__Metric entries[METRIC_TOTAL], *list[METRIC_TOTAL];
	Taskmon__Welcome welcome = TASKMON__WELCOME__INIT;
	Taskmon__Frame message = TASKMON__FRAME__INIT;

	for (int id = 0; id < METRIC_TOTAL; id++) {
		taskmon__metric__init(&entries[id]);
		entries[id].id = (uint32_t)id;
		entries[id].name = (char *)metrics[id].name;
		entries[id].kind = (Taskmon__Kind)metrics[id].kind;
		list[id] = &entries[id];
	}
	welcome.protocol = WIRE_PROTOCOL;
	welcome.metrics = list;
	welcome.n_metrics = METRIC_TOTAL;
	message.body_case = TASKMON__FRAME__BODY_WELCOME;
	message.welcome = &welcome;
	add_frame(script, &message);
}

static void add_subscribed(struct script *script)
{
	Taskmon__Subscribed subscribed = TASKMON__SUBSCRIBED__INIT;
	Taskmon__Frame message = TASKMON__FRAME__INIT;

	subscribed.request = subscribed.feed = 1;
	subscribed.armed_ns = 1000;
	message.body_case = TASKMON__FRAME__BODY_SUBSCRIBED;
	message.subscribed = &subscribed;
	add_frame(script, &message);
}

static void check_lines(void)
{
	static char text[1 << 16];
	ssize_t size = pread(json_fd, text, sizeof(text), 0);

	assert(size >= 0 && (size == 0 || size == sizeof(text) || text[size - 1] == '\n'));
	for (ssize_t i = 0; i < size; i++)
		assert(text[i] == '\n' || (unsigned char)text[i] >= ' ');
}

static void open_outputs(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDOUT_FILENO);
	close(null);
	json_fd = memfd_create("json", MFD_CLOEXEC);
	snprintf(json_path, sizeof(json_path), "/proc/self/fd/%d", json_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct script script;
	char *argv[9] = { "taskmon-report" };
	struct launch launch = { 0 };
	struct pipeline *pipeline;
	struct options options;
	char error[512];
	int argc = 1, status;

	if (!json_path[0])
		open_outputs();
	if (size == 0)
		return 0;
	for (char *const *argument = reports[data[0] % 4]; *argument; argument++)
		argv[argc++] = *argument;
	assert(options_parse(&options, argc, argv, error, sizeof(error)) == 0);
	script.size = 0;
	add_byte(&script, 5);
	if (data[0] & 4)
		add_welcome(&script);
	if (data[0] & 8)
		add_subscribed(&script);
	for (size_t i = 1; i < size; i++)
		add_byte(&script, data[i]);
	fake_uv_script(script.bytes, script.size);
	pipeline = pipeline_new(&options, NULL);
	assert(pipeline);
	status = report_run(&options, pipeline, NULL, &launch, NULL);
	assert(status >= 0 && status <= 255);
	pipeline_free(pipeline);
	options_free(&options);
	check_lines();
	return 0;
}
