/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON Lines: one flat object per row, event or loss. Numbers are added as text, because cJSON keeps them as doubles
 * and those lose the last digits of a u64.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "derive.h"
#include "json_calls.h"
#include "log.h"
#include "metric.h"
#include "modules.h"
#include "output.h"
#include "str.h"
#include "writer.h"

enum { NUMBER_BYTES = 32, LINE_BYTES = OUTPUT_ROOM_MAX };

struct json_writer {
	struct writer writer;
	struct output *output;
	const char *source; /* NULL: the collector; another's rows are written into the output of another writer */
	uint64_t metrics;
	bool writes_calls;
};

static bool add_u64(cJSON *object, const char *key, uint64_t value)
{
	char text[NUMBER_BYTES];

	text[str_u64(text, value)] = '\0';
	return cJSON_AddRawToObject(object, key, text);
}

static bool add_time(cJSON *object, const char *key, uint64_t wall_ns)
{
	char text[NUMBER_BYTES];

	str_rfc3339(text, sizeof(text), wall_ns);
	return cJSON_AddStringToObject(object, key, text);
}

static bool add_letter(cJSON *object, const char *key, uint64_t letter)
{
	const char text[] = { (char)letter, '\0' };

	return cJSON_AddStringToObject(object, key, text);
}

static bool add_cpu_percent(cJSON *object, const struct row *row)
{
	char text[NUMBER_BYTES];
	uint64_t hundredths;

	if (!derive_cpu_percent(row, &hundredths))
		return true;
	text[str_fixed(text, hundredths, 2, 2)] = '\0';
	return cJSON_AddRawToObject(object, "task_cpu_percent", text);
}

static bool add_rules(cJSON *object, const char *rules)
{
	cJSON *list = cJSON_AddArrayToObject(object, "rules");

	while (list && *rules) {
		size_t length = strcspn(rules, ";");
		char name[256];

		snprintf(name, sizeof(name), "%.*s", (int)length, rules);
		cJSON_AddItemToArray(list, cJSON_CreateString(name));
		rules += length + (rules[length] == ';');
	}
	return list != NULL;
}

static bool add_metrics(cJSON *object, const struct row *row, uint64_t set)
{
	bool ok = true;

	for (int id = 0; ok && id < METRIC_TOTAL; id++) {
		if (!(set & METRIC_BIT(id)) || !row_tells(row, (enum metric_id)id))
			continue;
		ok = metrics[id].unit == METRIC_LETTER ? add_letter(object, metrics[id].name, row->value[id]) :
							 add_u64(object, metrics[id].name, row->value[id]);
	}
	return ok;
}

/* Print `object`, unless building it failed, and free it. */
static int finish_line(struct json_writer *json, cJSON *object, bool complete)
{
	char *room = output_room(json->output, LINE_BYTES);

	complete = complete && cJSON_PrintPreallocated(object, room, LINE_BYTES, false);
	cJSON_Delete(object);
	if (!complete) {
		log_error(NULL, "out of memory");
		return -ENOMEM;
	}
	output_advance(json->output, strlen(room));
	return output_line_end(json->output);
}

/* a line for each member */
/* clang-format off */
static int json_row(struct writer *writer, const struct row *row)
{
	struct json_writer *json = (struct json_writer *)writer;
	cJSON *object = cJSON_CreateObject();
	bool ok = cJSON_AddStringToObject(object, "type", row->ended ? "end" : "sample") &&
		  add_time(object, "time", row->wall_ns) &&
		  (row->ended || add_time(object, "tick", row->tick_wall_ns)) &&
		  (!json->source || cJSON_AddStringToObject(object, "source", json->source)) &&
		  add_u64(object, "tid", row->tid) &&
		  add_u64(object, "tgid", row->tgid) &&
		  add_u64(object, "ppid", row->ppid) &&
		  cJSON_AddStringToObject(object, "comm", row->comm) &&
		  add_u64(object, "start_time", row->start_time_ns) &&
		  add_u64(object, "uid", row->uid) &&
		  cJSON_AddStringToObject(object, "cgroup", row->cgroup) &&
		  add_rules(object, row->rules) &&
		  (row->window_ns == 0 || add_u64(object, "window_ns", row->window_ns)) &&
		  add_metrics(object, row, json->metrics) &&
		  add_cpu_percent(object, row);

	return finish_line(json, object, ok);
}

static bool add_text(cJSON *object, const char *key, const char *text)
{
	return !text || cJSON_AddStringToObject(object, key, text);
}

static bool add_alarm(cJSON *object, const struct alarm *alarm)
{
	return !alarm || (add_text(object, "threshold", alarm->threshold) && add_text(object, "metric", alarm->metric) &&
			  cJSON_AddRawToObject(object, "value", alarm->value) &&
			  (!alarm->baseline || cJSON_AddRawToObject(object, "baseline", alarm->baseline)) &&
			  cJSON_AddRawToObject(object, "limit", alarm->limit) && add_text(object, "cause", alarm->cause));
}

static int json_event(struct writer *writer, const struct event *event)
{
	struct json_writer *json = (struct json_writer *)writer;
	cJSON *object = cJSON_CreateObject();
	bool ok = cJSON_AddStringToObject(object, "type", "event") &&
		  add_time(object, "time", event->wall_ns) &&
		  cJSON_AddStringToObject(object, "event", event->name) &&
		  add_u64(object, "tid", event->tid) &&
		  add_u64(object, "tgid", event->tgid) &&
		  cJSON_AddStringToObject(object, "comm", event->comm) &&
		  add_u64(object, "start_time", event->start_time_ns) &&
		  add_u64(object, "uid", event->uid) &&
		  cJSON_AddStringToObject(object, "detail", event->detail) &&
		  add_alarm(object, event->alarm);

	return finish_line(json, object, ok);
}

static int json_loss(struct writer *writer, const struct loss *loss)
{
	struct json_writer *json = (struct json_writer *)writer;
	cJSON *object = cJSON_CreateObject();
	bool ok = cJSON_AddStringToObject(object, "type", "loss") &&
		  add_time(object, "time", loss->wall_ns) &&
		  cJSON_AddStringToObject(object, "cause", loss->cause) &&
		  add_u64(object, "count", loss->count);

	return finish_line(json, object, ok);
}

static int json_gap(struct writer *writer, const struct gap *gap)
{
	struct json_writer *json = (struct json_writer *)writer;
	cJSON *object = cJSON_CreateObject();
	bool ok = cJSON_AddStringToObject(object, "type", "gap") &&
		  add_time(object, "time", gap->wall_ns) &&
		  add_time(object, "since", gap->since_wall_ns) &&
		  cJSON_AddStringToObject(object, "cause", gap->cause);

	return finish_line(json, object, ok);
}

static int json_calls(struct writer *writer, const struct calls *calls)
{
	struct json_writer *json = (struct json_writer *)writer;

	return json->writes_calls ? json_put_calls(json->output, calls) : 0;
}

static bool add_s64(cJSON *object, const char *key, int64_t value)
{
	char text[NUMBER_BYTES];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return cJSON_AddRawToObject(object, key, text);
}

static bool add_argument(cJSON *object, const struct hit *hit, size_t i)
{
	const struct declared_argument *argument = &hit->probe->declaration.arguments[i];

	switch (argument->kind) {
	case DECLARED_TEXT:
		return cJSON_AddStringToObject(object, argument->name, hit->texts[i]);
	case DECLARED_BOOL:
		return cJSON_AddBoolToObject(object, argument->name, hit->values[i] != 0);
	case DECLARED_SIGNED:
		return add_s64(object, argument->name, (int64_t)hit->values[i]);
	default: /* pointers too: numbers are easier to compare */
		return add_u64(object, argument->name, hit->values[i]);
	}
}

static int json_hit(struct writer *writer, const struct hit *hit)
{
	struct json_writer *json = (struct json_writer *)writer;
	cJSON *object = cJSON_CreateObject();
	bool ok = cJSON_AddStringToObject(object, "type", "probe") &&
		  add_time(object, "time", hit->wall_ns) &&
		  add_u64(object, "tid", hit->tid) &&
		  add_u64(object, "tgid", hit->tgid) &&
		  cJSON_AddStringToObject(object, "binary", hit->probe->binary) &&
		  cJSON_AddStringToObject(object, "function", hit->function) &&
		  cJSON_AddStringToObject(object, "action", hit->is_return ? "return" : "call") &&
		  (!hit->depth || add_u64(object, "depth", hit->depth)) &&
		  (!hit->has_totals || (add_u64(object, "size", hit->heap_bytes) && add_u64(object, "times", hit->heap_times))) &&
		  (!hit->has_change || (add_s64(object, "size_change", hit->bytes_change) &&
					add_s64(object, "times_change", hit->times_change)));

	for (size_t i = 0; ok && i < hit->probe->declaration.count; i++)
		if (hit->present >> i & 1)
			ok = add_argument(object, hit, i);
	return finish_line(json, object, ok);
}
/* clang-format on */

static int json_begin(struct writer *writer)
{
	struct json_writer *json = (struct json_writer *)writer;

	return json->source ? 0 : output_begin(json->output);
}

static int json_end(struct writer *writer, enum writer_end how)
{
	struct json_writer *json = (struct json_writer *)writer;
	int err;

	if (how == WRITER_DONE) {
		err = json->source ? 0 : output_close(json->output);
		free(json);
		return err;
	}
	err = how == WRITER_REOPEN && !json->source ? output_reopen(json->output) : output_flush(json->output);
	writer->written_bytes = json->source ? 0 : output_total_bytes(json->output);
	return err;
}

/* All but its output. NULL with errno set after it has been logged. */
static struct json_writer *new_writer(unsigned int module_set, uint64_t metric_set)
{
	struct json_writer *json = calloc(1, sizeof(*json));

	if (!json) {
		log_error(NULL, "out of memory");
		return NULL;
	}
	if (module_set & MODULE_BIT(MODULE_TASK))
		json->metrics |= metric_set;
	for (int id = 0; id < MODULE_TOTAL; id++)
		if (module_set & MODULE_BIT(id))
			json->metrics |= modules[id].needs;
	if (module_set & MODULE_BIT(MODULE_CPU))
		json->writer.deltas = METRIC_BIT(M_task_on_cpu_ns);
	json->writer.name = "json";
	json->writer.needs = json->metrics;
	json->writer.begin = json_begin;
	json->writer.row = json_row;
	json->writer.event = json_event;
	json->writer.loss = json_loss;
	json->writer.gap = json_gap;
	json->writer.calls = json_calls;
	json->writes_calls = module_set & MODULE_BIT(MODULE_SYSCALL);
	json->writer.hit = json_hit;
	json->writer.end = json_end;
	return json;
}

struct writer *writer_json_beside(struct writer *json, const char *source, unsigned int module_set)
{
	struct json_writer *beside = new_writer(module_set, 0);

	if (!beside)
		return NULL;
	beside->output = ((struct json_writer *)json)->output;
	beside->source = source;
	return &beside->writer;
}

struct writer *writer_json_new(const char *path, unsigned int module_set, uint64_t metric_set, const struct output_policy *policy)
{
	struct json_writer *json = new_writer(module_set, metric_set);

	if (!json)
		return NULL;
	json->output = output_open(path, NULL, policy);
	if (!json->output) {
		int err = errno;

		free(json);
		errno = err;
		return NULL;
	}
	return &json->writer;
}
