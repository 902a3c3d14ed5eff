/* SPDX-License-Identifier: BSD-2-Clause */
/* A kernel side for fuzzers: some tasks, some events, some losses. What is not here does nothing: see `stubs` in the Makefile. */
#include "fake_kernel.h"

#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "kernel.h"

enum { PROCESSES = 7, THREADS = 3 };

static struct watch_settings settings;
static struct rule_settings rules;
static struct dispatch *events_to;
static uint64_t state = 1;

void fake_kernel_begin(struct dispatch *dispatch, uint64_t seed)
{
	memset(&settings, 0, sizeof(settings));
	memset(&rules, 0, sizeof(rules));
	events_to = dispatch;
	state = seed | 1;
}

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void make_record(struct task_record *record, u32 type, u32 tgid, u32 tid)
{
	memset(record, 0, sizeof(*record));
	record->type = type;
	record->flags = tid != tgid ? RECORD_THREAD : 0;
	record->watches = settings.used & (next() | next());
	record->folds = settings.windows & next();
	record->time_ns = next() >> 2; /* mostly after the feed began */
	record->start_time_ns = tgid;
	record->tgid = tgid;
	record->tid = tid;
	record->cgroup_id = next() % 3;
	record->facts[0] = next();
	record->present = next() & METRIC_ALL_BITS;
	memcpy(record->comm, "a\xff\"name", 8);
	memcpy(record->process_comm, "process", 8);
	for (int id = 0; id < METRIC_TOTAL; id++)
		record->value[id] = record->present >> id & 1 ? next() >> next() % 64 : 0;
}

struct watch_settings *kernel_settings(struct kernel *kernel)
{
	(void)kernel;
	return &settings;
}

struct rule_settings *kernel_rules(struct kernel *kernel)
{
	(void)kernel;
	return &rules;
}

int kernel_sample(struct kernel *kernel, const struct sample_request *request, bool judge, kernel_sample_handler handler,
		  void *context)
{
	struct task_record record;

	(void)kernel, (void)judge;
	if (next() % 64 == 0)
		return -12;
	for (u32 tgid = 1; tgid <= PROCESSES; tgid++) {
		make_record(&record, RECORD_SAMPLE, tgid * 10, tgid * 10);
		if (request->processes)
			handler(&record, context);
		for (u32 thread = 0; request->threads && thread < THREADS; thread++) {
			make_record(&record, RECORD_SAMPLE, tgid * 10, tgid * 10 + thread);
			record.flags = RECORD_THREAD;
			handler(&record, context);
		}
	}
	return 0;
}

int kernel_drain(struct kernel *kernel)
{
	struct task_event event = { .type = RECORD_FORK + next() % 3, .flags = next() % 2, .watches = settings.used & next() };
	struct task_record record;

	(void)kernel;
	if (next() % 2)
		return 0;
	event.tid = event.tgid = 10 + next() % 70;
	dispatch_event(&event, sizeof(event), events_to);
	make_record(&record, RECORD_END, event.tgid, event.tgid);
	record.flags |= next() % 8;
	dispatch_event(&record, sizeof(record), events_to);
	return 2;
}

u64 kernel_lost(const struct kernel *kernel, unsigned int watch, enum loss_cause cause)
{
	static u64 lost;

	(void)kernel;
	lost += watch == 3 && cause == LOSS_RING_FULL && next() % 5 == 0;
	return watch == 3 && cause == LOSS_RING_FULL ? lost : 0;
}
