/* SPDX-License-Identifier: BSD-2-Clause */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "clock.h"
#include "explain.h"
#include "heap.h"
#include "metric.h"
#include "probe_request.h"
#include "use.h"
#include "wire.h"

enum {
	INTERVAL_MIN_MS = 100,
	INTERVAL_MAX_S = 3600,
	METRIC_IDS_MAX = WIRE_METRIC_IDS,
	EXPLAIN_WAITING_MAX = 256 << 10, /* who does not read gets no more long answers */
};

static void send_welcome(const struct requests *requests, struct session *session)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Welcome welcome = TASKMON__WELCOME__INIT;
	Taskmon__Metric entries[METRIC_TOTAL], *list[METRIC_TOTAL];
	size_t rule_count = requests->rules->count;
	Taskmon__Rule *rules = calloc(rule_count + 1, sizeof(*rules)), **rule_list = calloc(rule_count + 1, sizeof(*rule_list));
	struct utsname name;

	uname(&name);
	for (int id = 0; id < METRIC_TOTAL; id++) {
		const struct metric *metric = &metrics[id];
		const char *unavailable = kernel_metric_unavailable(requests->kernel, (enum metric_id)id);

		taskmon__metric__init(&entries[id]);
		entries[id].id = (uint32_t)id;
		entries[id].name = (char *)metric->name;
		entries[id].kind = (Taskmon__Kind)metric->kind;
		entries[id].scope = (Taskmon__Scope)metric->scope;
		entries[id].unit = (char *)metric_unit_name(metric->unit);
		entries[id].cost = (char *)metric_cost_name(metric->cost);
		entries[id].help = (char *)metric->help;
		if (unavailable)
			entries[id].unavailable = (char *)unavailable;
		list[id] = &entries[id];
	}
	welcome.protocol = WIRE_PROTOCOL;
	welcome.collector = "taskmon-collector " TASKMON_VERSION;
	welcome.kernel = name.release;
	welcome.sees_all = session_client(session)->sees_all;
	if (kernel_syscalls_unavailable(requests->kernel))
		welcome.syscalls_unavailable = (char *)kernel_syscalls_unavailable(requests->kernel);
	welcome.metrics = list;
	welcome.n_metrics = METRIC_TOTAL;
	for (size_t i = 0; rules && rule_list && i < rule_count; i++) {
		const struct rule *rule = requests->rules->list[i];

		taskmon__rule__init(&rules[i]);
		rules[i].name = rule->name;
		rules[i].text = rule->text;
		rules[i].children = rule->children;
		rule_list[i] = &rules[i];
		welcome.n_rules = i + 1;
	}
	welcome.rules = rule_list;
	message.body_case = TASKMON__FRAME__BODY_WELCOME;
	message.welcome = &welcome;
	session_send_control(session, &message);
	free(rules);
	free(rule_list);
}

static int serve_hello(struct requests *requests, struct session *session, const Taskmon__Frame *message)
{
	if (session_greeted(session))
		return session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "a second Hello");
	if (message->hello->protocol != WIRE_PROTOCOL)
		return session_fail(session, TASKMON__ERROR__CODE__VERSION,
				    "protocol %u is not spoken here (this collector speaks %u)", message->hello->protocol,
				    WIRE_PROTOCOL);
	if (session_client(session)->refused)
		return session_fail(session, TASKMON__ERROR__CODE__DENIED,
				    "this collector serves only root and members of its group");
	session_set_greeted(session);
	send_welcome(requests, session);
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	const struct pid_key *left = a, *right = b;

	return left->tgid < right->tgid ? -1 : left->tgid > right->tgid;
}

static bool is_other_process(const struct pid_key *key, const Taskmon__Subscribe *subscribe, size_t i)
{
	uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);

	return subscribe->n_start_times && subscribe->start_times[i] && key->start_ticks &&
	       key->start_ticks != subscribe->start_times[i] / (1000000000 / ticks_per_s);
}

static int read_rules(const struct requests *requests, struct session *session, const Taskmon__Subscribe *subscribe,
		      struct watch_spec *spec)
{
	if (subscribe->n_rules > WATCH_RULES_MAX || subscribe->n_names > WATCH_NAMES_MAX) {
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, subscribe->request,
			       "%zu rules and %zu names in one subscription (at most %d and %d)", subscribe->n_rules,
			       subscribe->n_names, WATCH_RULES_MAX, WATCH_NAMES_MAX);
		return -EINVAL;
	}
	for (size_t i = 0; i < subscribe->n_rules; i++) {
		const struct rule *rule = rules_find(requests->rules, subscribe->rules[i]);

		if (!rule) {
			session_refuse(session, TASKMON__ERROR__CODE__INVALID, subscribe->request,
				       "no rule \"%.64s\" in the collector's configuration (see --list rules)",
				       subscribe->rules[i]);
			return -EINVAL;
		}
		strcpy(spec->rules[spec->rule_count++], rule->name);
	}
	for (size_t i = 0; i < subscribe->n_names; i++) {
		if (!rule_valid_name(subscribe->names[i])) {
			session_refuse(session, TASKMON__ERROR__CODE__INVALID, subscribe->request,
				       "\"%.32s\" is neither a name of at most 15 bytes nor the beginning of one and *",
				       subscribe->names[i]);
			return -EINVAL;
		}
		strcpy(spec->names[spec->name_count++], subscribe->names[i]);
	}
	return 0;
}

/* `err`: as access_process() says it */
static void refuse_process(struct session *session, uint32_t request, uint32_t pid, int err)
{
	if (err == -EACCES)
		session_refuse_process(session, TASKMON__ERROR__CODE__DENIED, request, pid,
				       "process %u is not yours to see (only root and members of the collector's group "
				       "see the processes of others)",
				       pid);
	else if (err == -EINVAL)
		session_refuse_process(session, TASKMON__ERROR__CODE__NO_SUCH_PROCESS, request, pid,
				       "%u is a thread, not a process", pid);
	else
		session_refuse_process(session, TASKMON__ERROR__CODE__NO_SUCH_PROCESS, request, pid, "no process %u", pid);
}

/* Which processes; tells the client what is wrong with them. */
static int read_selection(const struct requests *requests, struct session *session, const Taskmon__Subscribe *subscribe,
			  struct watch_spec *spec)
{
	size_t parts = subscribe->n_pids + subscribe->n_rules + subscribe->n_names;
	const struct client *client = session_client(session);

	spec->all = subscribe->all;
	spec->children = subscribe->children;
	spec->sees_all = client->sees_all;
	spec->owner = client->sees_all ? (struct owner_key){ 0 } : (struct owner_key){ client->uid, client->gid };
	spec->pid_count = 0;
	spec->explain = subscribe->explain;
	if (subscribe->all ? parts > 0 : parts == 0) {
		session_refuse(session, TASKMON__ERROR__CODE__INVALID, subscribe->request,
			       "either all tasks or processes, rules and names must be asked for");
		return -EINVAL;
	}
	if (read_rules(requests, session, subscribe, spec))
		return -EINVAL;
	if (subscribe->n_pids > WATCH_PIDS_MAX) {
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, subscribe->request,
			       "%zu processes in one subscription (at most %d)", subscribe->n_pids, WATCH_PIDS_MAX);
		return -EINVAL;
	}
	if (subscribe->n_start_times && subscribe->n_start_times != subscribe->n_pids) {
		session_refuse(session, TASKMON__ERROR__CODE__INVALID, subscribe->request, "%zu start times for %zu processes",
			       subscribe->n_start_times, subscribe->n_pids);
		return -EINVAL;
	}
	for (size_t i = 0; i < subscribe->n_pids; i++) {
		uint32_t pid = subscribe->pids[i];
		int err = pid > INT32_MAX ? -ESRCH : access_process(client, (pid_t)pid, &spec->pids[i]);

		if (is_other_process(&spec->pids[i], subscribe, i))
			err = -ESRCH; /* whoever it is that has the number now */
		if (err) {
			refuse_process(session, subscribe->request, pid, err);
			return err;
		}
	}
	spec->pid_count = subscribe->n_pids;
	qsort(spec->pids, spec->pid_count, sizeof(spec->pids[0]), compare_pids);
	return 0;
}

static int read_wishes(const struct requests *requests, struct session *session, const Taskmon__Subscribe *subscribe,
		       struct feed_spec *spec)
{
	*spec = (struct feed_spec){
		.threads = subscribe->threads,
		.events = subscribe->events,
		.syscalls = subscribe->syscalls && !kernel_syscalls_unavailable(requests->kernel),
		.interval_ns = subscribe->interval_ns,
	};
	if (subscribe->interval_ns < INTERVAL_MIN_MS * 1000000ULL || subscribe->interval_ns > INTERVAL_MAX_S * 1000000000ULL) {
		session_refuse(session, TASKMON__ERROR__CODE__INVALID, subscribe->request,
			       "an interval of %.3f s is out of range (0.1 to 3600 s)", (double)subscribe->interval_ns / 1e9);
		return -EINVAL;
	}
	for (size_t i = 0; i < subscribe->n_metrics; i++) {
		uint32_t id = subscribe->metrics[i];

		if (id >= METRIC_TOTAL) {
			session_refuse(session, TASKMON__ERROR__CODE__INVALID, subscribe->request, "no metric %u", id);
			return -EINVAL;
		}
		/* what cannot be measured stays absent: the Welcome has told why */
		if (!kernel_metric_unavailable(requests->kernel, (enum metric_id)id))
			spec->metrics |= METRIC_BIT(id);
	}
	return 0;
}

static void refuse_join(struct session *session, uint32_t request, int err)
{
	switch (err) {
	case -ENOSPC:
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, request, "all %d watches are in use by other subscriptions",
			       WATCH_MAX);
		break;
	case -E2BIG:
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, request,
			       "the rules in use would have more than %d conditions or %d alternatives", TERMS_MAX, CLAUSES_MAX);
		break;
	case -EMFILE:
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, request, "more than %d subscriptions on one connection",
			       SUBSCRIPTIONS_PER_SESSION);
		break;
	case -EUSERS:
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, request, "more than %d subscriptions of one user",
			       SUBSCRIPTIONS_PER_USER);
		break;
	case -EDQUOT:
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, request,
			       "more than %d different selections of one user, or than are for users", WATCHES_PER_USER);
		break;
	case -EEXIST:
		session_refuse(session, TASKMON__ERROR__CODE__INVALID, request,
			       "the same subscription exists already on this connection");
		break;
	default:
		session_refuse(session, TASKMON__ERROR__CODE__INTERNAL, request, "the subscription failed: %s", strerror(-err));
	}
}

static void send_subscribed(struct session *session, uint32_t request, const struct feed *feed)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Subscribed subscribed = TASKMON__SUBSCRIBED__INIT;

	subscribed.request = request;
	subscribed.feed = feed_id(feed);
	subscribed.armed_ns = clock_boot_ns();
	subscribed.wall_offset_ns = clock_wall_offset_ns();
	message.body_case = TASKMON__FRAME__BODY_SUBSCRIBED;
	message.subscribed = &subscribed;
	session_send_control(session, &message);
}

/* To the processes that are named; those that they have created follow with the baseline. */
static int attach_probes(struct requests *requests, struct session *session, const Taskmon__Subscribe *subscribe,
			 const struct watch_spec *watch, struct feed *feed)
{
	int err = 0;

	if (feed_spec(feed)->probe_count == 0)
		return 0;
	for (size_t i = 0; !err && i < watch->pid_count; i++)
		err = dispatch_probe(requests->dispatch, feed, watch->pids[i].tgid);
	if (!err)
		return 0;
	dispatch_leave(requests->dispatch, session, feed);
	sampler_reschedule(requests->sampler);
	if (err == -EMFILE)
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, subscribe->request, "too many processes are probed");
	else
		session_refuse(session, TASKMON__ERROR__CODE__UNAVAILABLE, subscribe->request,
			       "the probes could not be attached: %s", strerror(-err));
	return err;
}

static int serve_subscribe(struct requests *requests, struct session *session, const Taskmon__Frame *message)
{
	const Taskmon__Subscribe *subscribe = message->subscribe;
	static struct watch_spec watch; /* 16 KiB; used only within this call */
	struct feed_spec spec;
	struct feed *feed;
	int err;

	memset(&watch, 0, sizeof(watch));
	if (read_selection(requests, session, subscribe, &watch) || read_wishes(requests, session, subscribe, &spec) ||
	    probe_request_read(requests->probes, session, subscribe, &watch, &spec))
		return 0;
	/* what is in the rings by now is older than this subscription */
	sampler_drain_all(requests->sampler);
	err = dispatch_join(requests->dispatch, session, &watch, &spec, &feed);
	if (err) {
		refuse_join(session, subscribe->request, err);
		return 0;
	}
	if (attach_probes(requests, session, subscribe, &watch, feed))
		return 0;
	/*
	 * The answer must come before the baseline, but a client that reads it may start what it waits to watch, so
	 * it must not leave before every task has been judged, and is probed where that was asked for.
	 */
	session_cork(session);
	send_subscribed(session, subscribe->request, feed);
	err = sampler_baseline(requests->sampler, feed, session);
	if (!err && spec.metrics & METRICS_OF_HEAP)
		heap_wait(requests->heap, session);
	session_uncork(session);
	if (err)
		return session_fail(session, TASKMON__ERROR__CODE__INTERNAL, "the tasks could not be read: %s", strerror(-err));
	return 0;
}

static int serve_unsubscribe(struct requests *requests, struct session *session, const Taskmon__Frame *message)
{
	struct feed *feed = dispatch_find(requests->dispatch, session, message->unsubscribe->feed);
	Taskmon__Frame answer = TASKMON__FRAME__INIT;
	Taskmon__Unsubscribed unsubscribed = TASKMON__UNSUBSCRIBED__INIT;

	if (!feed)
		return session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "Unsubscribe of feed %u, which you have not",
				    message->unsubscribe->feed);
	sampler_closing_tick(requests->sampler, feed, session);
	unsubscribed.feed = feed_id(feed);
	dispatch_leave(requests->dispatch, session, feed);
	sampler_reschedule(requests->sampler);
	answer.body_case = TASKMON__FRAME__BODY_UNSUBSCRIBED;
	answer.unsubscribed = &unsubscribed;
	session_send_control(session, &answer);
	return 0;
}

static int serve_explain(struct requests *requests, struct session *session, const Taskmon__Frame *message)
{
	uint32_t request = message->explain->request, pid = message->explain->process;
	Taskmon__Frame answer = TASKMON__FRAME__INIT;
	struct term_set facts;
	int fd, err;

	if (!dispatch_explains(requests->dispatch, session)) {
		session_refuse(session, TASKMON__ERROR__CODE__INVALID, request, "Explain without a subscription that explains");
		return 0;
	}
	if (session_waiting(session) > EXPLAIN_WAITING_MAX) {
		session_refuse(session, TASKMON__ERROR__CODE__LIMIT, request, "read what was sent before you ask for more");
		return 0;
	}
	fd = pid > INT32_MAX ? -ESRCH : access_open_process(session_client(session), (pid_t)pid);
	if (fd < 0) {
		refuse_process(session, request, pid, fd);
		return 0;
	}
	err = kernel_facts_of(requests->kernel, fd, &facts);
	close(fd);
	answer.body_case = TASKMON__FRAME__BODY_EXPLAINED;
	if (!err)
		err = explain(requests->watches, &facts, &answer.explained);
	if (err) {
		session_refuse(session, TASKMON__ERROR__CODE__INTERNAL, request, "process %u cannot be explained: %s", pid,
			       err == -ENOENT ? "not all rules are in use" : strerror(-err));
		return 0;
	}
	answer.explained->request = request;
	answer.explained->process = pid;
	session_send_control(session, &answer);
	taskmon__explained__free_unpacked(answer.explained, NULL);
	return 0;
}

static const struct handler {
	Taskmon__Frame__BodyCase body;
	bool needs_hello;
	int (*serve)(struct requests *requests, struct session *session, const Taskmon__Frame *message);
} handlers[] = {
	{ TASKMON__FRAME__BODY_HELLO, false, serve_hello },
	{ TASKMON__FRAME__BODY_SUBSCRIBE, true, serve_subscribe },
	{ TASKMON__FRAME__BODY_UNSUBSCRIBE, true, serve_unsubscribe },
	{ TASKMON__FRAME__BODY_EXPLAIN, true, serve_explain },
};

int request_serve(struct requests *requests, struct session *session, const Taskmon__Frame *message)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].body != message->body_case)
			continue;
		if (handlers[i].needs_hello && !session_greeted(session))
			return session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "the first frame must be a Hello");
		return handlers[i].serve(requests, session, message);
	}
	return session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "a client must not send frame %d", (int)message->body_case);
}
