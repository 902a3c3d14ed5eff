/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

enum { PASSES_BEFORE = 2 };

static const struct sample_request no_request;

struct watch {
	unsigned int references; /* 0: free */
	struct watch_spec *spec;
};

struct watches {
	struct kernel *kernel;
	struct watch watch[WATCH_MAX];
	/*
	 * Bits that were given up and may still stand in verdicts of the kernel. They are not given out again before
	 * every task has been judged anew, or a child could inherit a stranger's watch.
	 */
	u64 stale;
	u64 limited;              /* watches that select by limits */
	u64 limits;               /* metrics that these are about */
	unsigned int fresh_terms; /* kinds (bit per enum term_kind) of which processes that exist are not known yet */
	u32 handed_down;          /* the settled generation whose children have been found */
	struct watch_wishes wishes;
	struct rules *rules;
	struct terms *terms;
};

static size_t spec_bytes(const struct watch_spec *spec)
{
	return offsetof(struct watch_spec, pids) + spec->pid_count * sizeof(spec->pids[0]);
}

static bool same_spec(const struct watch_spec *a, const struct watch_spec *b)
{
	return a->all == b->all && a->explain == b->explain && a->children == b->children && a->sees_all == b->sees_all &&
	       a->owner.uid == b->owner.uid && a->owner.gid == b->owner.gid && a->pid_count == b->pid_count &&
	       a->rule_count == b->rule_count && memcmp(a->rules, b->rules, sizeof(a->rules)) == 0 &&
	       a->name_count == b->name_count && memcmp(a->names, b->names, sizeof(a->names)) == 0 &&
	       memcmp(a->pids, b->pids, a->pid_count * sizeof(a->pids[0])) == 0;
}

static void ignore_record(struct task_record *record, void *context)
{
	(void)record;
	(void)context;
}

struct watches *watches_new(struct kernel *kernel, struct rules *rules)
{
	struct watches *watches = calloc(1, sizeof(*watches));

	if (!watches)
		return NULL;
	watches->kernel = kernel;
	watches->rules = rules;
	watches->terms = terms_new(kernel);
	if (watches->terms)
		return watches;
	free(watches);
	return NULL;
}

void watches_free(struct watches *watches)
{
	if (!watches)
		return;
	for (int i = 0; i < WATCH_MAX; i++)
		free(watches->watch[i].spec);
	terms_free(watches->terms);
	free(watches);
}

const struct rules *watches_rules(const struct watches *watches)
{
	return watches->rules;
}

const char *watches_rules_of(struct watches *watches, const struct task_record *record)
{
	return terms_rules_of(watches->terms, record->facts);
}

bool watch_explains(const struct watches *watches, unsigned int watch)
{
	return watches->watch[watch].spec->explain;
}

const struct terms *watches_terms(const struct watches *watches)
{
	return watches->terms;
}

bool watch_has_limits(const struct watches *watches, unsigned int watch)
{
	return watches->limited >> watch & 1;
}

/* --- rules in use */

static void note_limits(struct watches *watches, const struct rule *rule, u64 watch)
{
	for (size_t i = 0; i < rule->term_count; i++) {
		if (rule->terms[i].kind != TERM_LIMIT)
			continue;
		watches->limited |= watch;
		watches->limits |= METRIC_BIT(rule->terms[i].limit.metric);
	}
}

static int add_rule(struct watches *watches, const struct rule *rule, u64 watch)
{
	if (!rule)
		return 0; /* the configuration has lost it: it selects nothing */
	note_limits(watches, rule, watch);
	return terms_add(watches->terms, rule, watch);
}

static int add_names(struct watches *watches, struct watch_spec *spec, u64 watch)
{
	char *names[WATCH_NAMES_MAX];
	struct rule *rule;
	int err;

	for (size_t i = 0; i < spec->name_count; i++)
		names[i] = spec->names[i];
	rule = rule_of_names(names, spec->name_count);
	err = rule ? add_rule(watches, rule, watch) : -ENOMEM;
	rule_free(rule);
	return err;
}

static int add_rules_of(struct watches *watches, struct watch_spec *spec, u64 watch)
{
	int err = spec->name_count ? add_names(watches, spec, watch) : 0;

	for (size_t i = 0; !err && i < spec->rule_count; i++)
		err = add_rule(watches, rules_find(watches->rules, spec->rules[i]), watch);
	for (size_t i = 0; !err && spec->explain && i < watches->rules->count; i++) {
		err = terms_add(watches->terms, watches->rules->list[i], 0);
		note_limits(watches, watches->rules->list[i], watch);
	}
	return err;
}

/* The rules of all watches, together. The first error is returned; what could be added is in force. */
static int update_terms(struct watches *watches)
{
	unsigned int fresh;
	int err = 0, failed;

	watches->limited = watches->limits = 0;
	terms_begin(watches->terms);
	for (int i = 0; i < WATCH_MAX; i++) {
		failed = watches->watch[i].spec ? add_rules_of(watches, watches->watch[i].spec, 1ULL << i) : 0;
		err = err ? err : failed;
	}
	failed = terms_commit(watches->terms, &fresh);
	watches->fresh_terms |= fresh;
	return err ? err : failed;
}

/* Watches that name this process. */
static u64 bits_of_pid(const struct watches *watches, const struct pid_key *key)
{
	u64 bits = 0;

	for (int i = 0; i < WATCH_MAX; i++) {
		const struct watch_spec *spec = watches->watch[i].spec;

		for (size_t p = 0; spec && p < spec->pid_count; p++)
			if (memcmp(&spec->pids[p], key, sizeof(*key)) == 0)
				bits |= 1ULL << i;
	}
	return bits;
}

static u64 bits_of_owner(const struct watches *watches, const struct owner_key *owner)
{
	u64 bits = 0;

	for (int i = 0; i < WATCH_MAX; i++) {
		const struct watch_spec *spec = watches->watch[i].spec;

		if (spec && !spec->sees_all && spec->owner.uid == owner->uid && spec->owner.gid == owner->gid)
			bits |= 1ULL << i;
	}
	return bits;
}

/* Bring the kernel's maps in line with what `changed` adds or has taken away. */
static int update_maps(struct watches *watches, const struct watch_spec *changed)
{
	int err = 0;

	for (size_t p = 0; p < changed->pid_count && !err; p++)
		err = kernel_set_pid_watches(watches->kernel, &changed->pids[p], bits_of_pid(watches, &changed->pids[p]));
	if (!changed->sees_all && !err)
		err = kernel_set_owner_watches(watches->kernel, &changed->owner, bits_of_owner(watches, &changed->owner));
	return err;
}

static void update_settings(struct watches *watches)
{
	struct watch_settings *settings = kernel_settings(watches->kernel);
	u64 used = 0, all = 0, children = 0, sees_all = 0;

	for (int i = 0; i < WATCH_MAX; i++) {
		const struct watch *watch = &watches->watch[i];
		u64 bit = 1ULL << i;

		if (!watch->spec)
			continue;
		used |= bit;
		all |= watch->spec->all ? bit : 0;
		children |= watch->spec->children ? bit : 0;
		sees_all |= watch->spec->sees_all ? bit : 0;
	}
	settings->all = all;
	settings->children = children;
	settings->sees_all = sees_all;
	settings->threads = watches->wishes.threads & used;
	settings->hooked = watches->wishes.hooked & used;
	settings->timed = watches->wishes.timed & used;
	settings->windows = watches->wishes.windows & used;
	settings->syscalls = watches->wishes.syscalls & used;
	settings->heaped = watches->wishes.heaped & used;
	settings->used = used;
	settings->settled = ++settings->generation;
}

/* What rules ask of processes that exist already and an event would tell only of new ones. */
static void find_facts(struct watches *watches)
{
	if (watches->fresh_terms & 1u << TERM_ARGV)
		terms_find_argv(watches->terms);
	if (watches->fresh_terms & 1u << TERM_CONNECTION)
		kernel_find_connections(watches->kernel);
	watches->fresh_terms = 0;
}

/* Who is probed for a watch that does not want it any more hears of it when its process is judged. */
static void leave_heaps(struct watches *watches, u64 heaped_before)
{
	u64 heaped = kernel_settings(watches->kernel)->heaped;

	if (heaped && heaped_before & ~heaped)
		watches_judge(watches, NULL, NULL, NULL);
}

/* Programs first: what is selected from now on is measured from its beginning. */
static void update_kernel(struct watches *watches)
{
	u64 metrics = watches->wishes.metrics | watches->limits;
	u64 heaped = kernel_settings(watches->kernel)->heaped;
	bool watching = false;

	for (int i = 0; i < WATCH_MAX; i++)
		watching |= watches->watch[i].spec != NULL;
	metrics |= terms_have(watches->terms, TERM_CONNECTION) ? NEED_CONNECTIONS : 0;
	kernel_need(watches->kernel, metrics, watching);
	update_settings(watches);
	find_facts(watches);
	leave_heaps(watches, heaped);
}

void watches_update_rules(struct watches *watches)
{
	if (update_terms(watches))
		log_warning("rules", "not all rules in use could be taken over");
	update_kernel(watches);
}

/*
 * A child whose number is smaller than its parent's is judged before it. Each further pass hands down from another parent; a line of
 * ancestors in which numbers began anew more often than that is not known.
 */
static int hand_down(struct watches *watches)
{
	struct watch_settings *settings = kernel_settings(watches->kernel);
	int err = 0;

	if (watches->handed_down == settings->settled || !terms_have(watches->terms, TERM_DESCENT))
		return 0;
	for (int i = 0; !err && i < PASSES_BEFORE; i++) {
		err = kernel_sample(watches->kernel, &no_request, true, ignore_record, NULL);
		settings->generation++;
	}
	watches->handed_down = settings->settled;
	return err;
}

int watches_judge(struct watches *watches, const struct sample_request *request, kernel_sample_handler handler, void *context)
{
	int err = hand_down(watches);

	if (!err)
		err = kernel_sample(watches->kernel, request ? request : &no_request, true, handler ? handler : ignore_record,
				    context);
	if (!err) {
		watches->stale = 0;
		terms_judged(watches->terms);
	}
	return err;
}

static int free_bit(struct watches *watches)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < WATCH_MAX; i++)
			if (!watches->watch[i].spec && !(watches->stale >> i & 1))
				return i;
		if (watches_judge(watches, NULL, NULL, NULL))
			break;
	}
	return -ENOSPC;
}

/* Bits of terms that were given up become free when all has been judged. */
static int use_rules(struct watches *watches)
{
	int err = update_terms(watches);

	if (err != -E2BIG || watches_judge(watches, NULL, NULL, NULL))
		return err;
	return update_terms(watches);
}

int watch_acquire(struct watches *watches, const struct watch_spec *spec)
{
	struct watch *watch;
	int bit, err;

	for (int i = 0; i < WATCH_MAX; i++) {
		if (watches->watch[i].spec && same_spec(watches->watch[i].spec, spec)) {
			watches->watch[i].references++;
			return i;
		}
	}
	bit = free_bit(watches);
	if (bit < 0)
		return bit;
	watch = &watches->watch[bit];
	watch->spec = malloc(spec_bytes(spec));
	if (!watch->spec)
		return -ENOMEM;
	memcpy(watch->spec, spec, spec_bytes(spec));
	watch->references = 1;
	err = update_maps(watches, spec);
	if (!err && (spec->rule_count || spec->name_count || spec->explain))
		err = use_rules(watches);
	update_kernel(watches);
	if (err) {
		watch_release(watches, (unsigned int)bit);
		return err;
	}
	return bit;
}

void watch_release(struct watches *watches, unsigned int bit)
{
	struct watch *watch = &watches->watch[bit];
	struct watch_spec *spec = watch->spec;

	if (--watch->references > 0)
		return;
	watch->spec = NULL;
	watches->stale |= 1ULL << bit;
	if (spec->rule_count || spec->name_count || spec->explain)
		update_terms(watches);
	update_kernel(watches);
	update_maps(watches, spec);
	free(spec);
	if (!kernel_settings(watches->kernel)->used)
		watches_judge(watches, NULL, NULL, NULL); /* nothing stays in any task's storage */
}

void watches_set_wishes(struct watches *watches, const struct watch_wishes *wishes)
{
	watches->wishes = *wishes;
	update_kernel(watches);
}
