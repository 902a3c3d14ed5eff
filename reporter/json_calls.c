/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "calls.h"
#include "log.h"
#include "str.h"

/* What the lines of a thread have in common, for one batch; allocated by cJSON. */
static char *thread_text(const struct call_task *task)
{
	cJSON *object = cJSON_CreateObject();
	char *text = NULL;

	if (cJSON_AddNumberToObject(object, "tid", task->tid) && cJSON_AddNumberToObject(object, "tgid", task->tgid) &&
	    cJSON_AddStringToObject(object, "comm", task->comm))
		text = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	if (text)
		text[strlen(text) - 1] = '\0'; /* more keys follow */
	return text;
}

static void put_s64(struct output *output, int64_t value)
{
	if (value < 0)
		output_char(output, '-');
	output_u64(output, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static int put_call(struct output *output, const struct call *call, uint64_t wall_ns, const char *thread)
{
	output_text(output, "{\"type\":\"syscall\",\"time\":\"");
	output_time(output, wall_ns);
	output_text(output, "\",");
	output_text(output, thread + 1);
	output_text(output, call->leave ? ",\"action\":\"leave\",\"syscall\":" : ",\"action\":\"enter\",\"syscall\":");
	put_s64(output, (int32_t)call->number);
	if (call->leave) {
		output_text(output, ",\"ret\":");
		put_s64(output, (int64_t)call->value);
	} else {
		output_text(output, ",\"parm1\":");
		output_u64(output, call->value);
	}
	output_text(output, call->compat ? ",\"compat\":true}" : ",\"compat\":false}");
	return output_line_end(output);
}

int json_put_calls(struct output *output, const struct calls *calls)
{
	char *threads[CALLS_TASKS_MAX] = { NULL };
	int err = 0;

	for (size_t i = 0; !err && i < calls->count; i++) {
		const struct call *call = &calls->list[i];

		if (!calls->tasks[call->task].selected)
			continue;
		if (!threads[call->task])
			threads[call->task] = thread_text(&calls->tasks[call->task]);
		if (threads[call->task]) {
			err = put_call(output, call, call->time_ns + (uint64_t)calls->wall_offset_ns, threads[call->task]);
		} else {
			log_error(NULL, "out of memory");
			err = -ENOMEM;
		}
	}
	for (size_t i = 0; i < calls->task_count; i++)
		cJSON_free(threads[i]);
	return err;
}
