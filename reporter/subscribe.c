/* SPDX-License-Identifier: BSD-2-Clause */
#include "subscribe.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "metric.h"
#include "modules.h"

enum {
	NAMES_MAX = 64, /* that a subscription may have */
	REQUEST = 1,    /* the only one of a connection */
	NS_PER_MS = 1000000,
	CLOSING_LEAD_MS = 5,
	EXPLAIN_TICK_NS = 500000000,
};

static int send_logged(struct link *link, const Taskmon__Frame *message, const int *files, size_t file_count)
{
	int err = file_count ? link_send_files(link, message, files, file_count) : link_send(link, message);

	if (err)
		log_error(NULL, "cannot write to the collector: %s", strerror(-err));
	return err;
}

int subscribe_targets_of(struct subscribe_targets *targets, const struct options *options, pid_t command)
{
	targets->count = 0;
	if (options->pid_count + (command != 0) > SUBSCRIBE_PIDS_MAX) {
		log_error(NULL, "more than %d processes are selected", SUBSCRIBE_PIDS_MAX);
		return -E2BIG;
	}
	for (size_t i = 0; i < options->pid_count; i++)
		targets->pids[targets->count++] = options->pids[i];
	if (command)
		targets->pids[targets->count++] = (uint32_t)command;
	memset(targets->start_times_ns, 0, targets->count * sizeof(targets->start_times_ns[0]));
	return 0;
}

/* A whole name, or the beginning of one and `*`, is what the collector's kernel side can look for. */
static bool is_simple(const char *pattern)
{
	size_t length = strlen(pattern), special = strcspn(pattern, "*?[\\");

	return length && (special == length ? length < TASK_COMM_BYTES :
					      pattern[special] == '*' && special + 1 == length && special < TASK_COMM_BYTES - 1);
}

bool subscribe_names_suffice(const struct options *options)
{
	const struct select *select = &options->select;

	if (!options->all || options->pid_count || options->command || select->name_count == 0 || select->regex_count ||
	    select->name_count > NAMES_MAX || options->action != ACTION_REPORT)
		return false;
	for (size_t i = 0; i < select->name_count; i++)
		if (!is_simple(select->names[i]))
			return false;
	return true;
}

bool subscribe_explains(const struct options *options)
{
	return options->action == ACTION_LIST_TASKS && options->pid_count > 0;
}

/* The table has no place for them. */
static bool wants_syscalls(const struct options *options)
{
	return options->action == ACTION_REPORT && options->modules & MODULE_BIT(MODULE_SYSCALL) &&
	       (options->csv_dir || options->json_path);
}

bool subscribe_wants_probes(const struct options *options)
{
	return options->action == ACTION_REPORT && options->modules & MODULE_BIT(MODULE_MEMLEAK) &&
	       (options->csv_dir || options->json_path);
}

static void put_probes(Taskmon__Subscribe *subscribe, const struct probe_set *set, Taskmon__Probe *probes, Taskmon__Probe **list)
{
	for (size_t i = 0; i < set->symbol_count; i++) {
		const struct probe_symbol *symbol = &set->symbols[i];

		taskmon__probe__init(&probes[i]);
		probes[i].file = (uint32_t)symbol->file;
		probes[i].function = symbol->name;
		probes[i].arguments = set->list[symbol->probe].arguments;
		probes[i].label = set->list[symbol->probe].binary;
		list[i] = &probes[i];
	}
	subscribe->probes = list;
	subscribe->n_probes = set->symbol_count;
}

int subscribe_begin(struct link *link, const struct options *options, struct subscribe_targets *targets, uint64_t needs,
		    const struct wire_catalogue *catalogue)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Subscribe subscribe = TASKMON__SUBSCRIBE__INIT;
	Taskmon__Probe probes[PROBES_MAX], *probe_list[PROBES_MAX];
	uint32_t ids[METRIC_TOTAL];

	subscribe.request = REQUEST;
	subscribe.all = options->all && !options->rule_count && !subscribe_names_suffice(options);
	subscribe.explain = options->action == ACTION_LIST_TASKS || threshold_rules_ask_rules(&options->thresholds);
	subscribe.rules = options->rules;
	subscribe.n_rules = options->rule_count;
	if (!options->rule_count && subscribe_names_suffice(options)) {
		subscribe.names = options->select.names;
		subscribe.n_names = options->select.name_count;
	}
	subscribe.children = options_follow_children(options);
	subscribe.threads = options->threads;
	/* limits on rates are compared at each tick, and one is waited for */
	subscribe.interval_ns = subscribe_explains(options) ? EXPLAIN_TICK_NS : options->interval_ns;
	subscribe.events = true;
	subscribe.syscalls = wants_syscalls(options);
	subscribe.metrics = ids;
	for (int id = 0; id < METRIC_TOTAL; id++)
		if ((needs & METRIC_BIT(id)) && catalogue->metric_to_id[id] >= 0)
			ids[subscribe.n_metrics++] = (uint32_t)catalogue->metric_to_id[id];
	if (!subscribe.all) {
		subscribe.pids = targets->pids;
		subscribe.start_times = targets->start_times_ns;
		subscribe.n_pids = subscribe.n_start_times = targets->count;
	}
	if (subscribe_wants_probes(options))
		put_probes(&subscribe, options->probe_set, probes, probe_list);
	message.body_case = TASKMON__FRAME__BODY_SUBSCRIBE;
	message.subscribe = &subscribe;
	if (subscribe.n_probes)
		return send_logged(link, &message, options->probe_set->files, options->probe_set->file_count);
	return send_logged(link, &message, NULL, 0);
}

int subscribe_end(struct link *link, uint32_t feed)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Unsubscribe unsubscribe = TASKMON__UNSUBSCRIBE__INIT;

	unsubscribe.feed = feed;
	message.body_case = TASKMON__FRAME__BODY_UNSUBSCRIBE;
	message.unsubscribe = &unsubscribe;
	return send_logged(link, &message, NULL, 0);
}

int subscribe_explain(struct link *link, uint32_t pid)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Explain explain = TASKMON__EXPLAIN__INIT;

	explain.request = REQUEST;
	explain.process = pid;
	message.body_case = TASKMON__FRAME__BODY_EXPLAIN;
	message.explain = &explain;
	return send_logged(link, &message, NULL, 0);
}

static void warn_of(const struct wire_catalogue *catalogue, uint64_t wanted, const char *consequence)
{
	for (int id = 0; id < METRIC_TOTAL; id++) {
		if (!(wanted & METRIC_BIT(id)))
			continue;
		if (catalogue->metric_to_id[id] < 0)
			log_warning(NULL, "%s %s: the collector does not know it", metrics[id].name, consequence);
		else if (catalogue->unavailable[id])
			log_warning(NULL, "%s %s: %s", metrics[id].name, consequence, catalogue->unavailable[id]);
	}
}

/* Than is shown: what the report judges itself. */
static bool sends_more(const struct options *options)
{
	const struct select *select = &options->select;

	return options->action == ACTION_REPORT && select_narrows(select) &&
	       (select->uid_count || select->cgroup_count || !subscribe_names_suffice(options));
}

void subscribe_warn(const Taskmon__Welcome *welcome, const struct options *options)
{
	uint64_t wanted = options->modules & MODULE_BIT(MODULE_TASK) ? options->metrics : 0;
	struct wire_catalogue catalogue;

	if (sends_more(options))
		log_info(NULL, "the collector sends more than is shown: users, cgroups, and names but for whole ones and NAME*, "
			       "are selected here");
	wire_read_catalogue(welcome, &catalogue);
	/* the table tells of alarms too */
	warn_of(&catalogue, threshold_rules_needs(&options->thresholds), "raises no alarm");
	if (options->modules & MODULE_BIT(MODULE_SYSCALL) && !wants_syscalls(options) && options->action == ACTION_REPORT)
		log_warning(NULL, "syscall: the table does not show system calls (expected --csv or --json)");
	if (options->modules & MODULE_BIT(MODULE_MEMLEAK) && !subscribe_wants_probes(options) && options->action == ACTION_REPORT)
		log_warning(NULL, "memleak: the table does not show calls of functions (expected --csv or --json)");
	if (wants_syscalls(options) && welcome->syscalls_unavailable[0])
		log_warning(NULL, "syscall stays empty: %s", welcome->syscalls_unavailable);
	if (!options->csv_dir && !options->json_path)
		return;
	if (options->threads && (options->modules & MODULE_BIT(MODULE_NET)))
		log_warning(NULL, "net has figures of processes only: with --threads there are none");
	for (int id = 0; id < MODULE_TOTAL; id++)
		if (options->modules & MODULE_BIT(id))
			wanted |= modules[id].needs;
	warn_of(&catalogue, wanted, "stays empty");
}

/*
 * A report that ends at a tick ends a moment before it, so that the closing tick takes its place: otherwise the last
 * row of each task would stand for a millisecond.
 */
uint64_t subscribe_duration_ms(const struct options *options)
{
	uint64_t ms = options->duration_ns / NS_PER_MS;

	if (options->duration_ns && options->duration_ns % options->interval_ns == 0)
		ms -= CLOSING_LEAD_MS;
	return ms;
}
