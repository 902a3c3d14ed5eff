/* SPDX-License-Identifier: BSD-2-Clause */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "exit_status.h"
#include "link.h"
#include "log.h"
#include "metric.h"
#include "modules.h"
#include "str.h"
#include "wire.h"

enum { ANSWER_MS = 2000, REASON_BYTES = 256, RULE_NAME_BYTES = 256, RULE_TEXT_BYTES = 4096 };

/* One question to the collector: what can it measure? */
struct inquiry {
	uv_loop_t loop;
	uv_timer_t guard;
	struct link link;
	bool answered, prints_rules;
	char available[METRIC_TOTAL][REASON_BYTES]; /* "yes" or why not */
};

static void end_inquiry(struct inquiry *inquiry)
{
	link_close(&inquiry->link);
	if (!uv_is_closing((uv_handle_t *)&inquiry->guard))
		uv_close((uv_handle_t *)&inquiry->guard, NULL);
}

static void on_guard(uv_timer_t *timer)
{
	end_inquiry(timer->data);
}

static void read_welcome(struct inquiry *inquiry, const Taskmon__Welcome *welcome)
{
	struct wire_catalogue catalogue;

	wire_read_catalogue(welcome, &catalogue);
	for (int id = 0; id < METRIC_TOTAL; id++) {
		const char *reason = catalogue.metric_to_id[id] < 0 ? "the collector does not know it" :
				     catalogue.unavailable[id]      ? catalogue.unavailable[id] :
								      "yes";

		str_sanitize(inquiry->available[id], REASON_BYTES, reason, strlen(reason));
	}
	inquiry->answered = true;
}

/* A name and a text from the wire, made harmless. */
static void print_rule(const Taskmon__Rule *rule)
{
	char name[RULE_NAME_BYTES], text[RULE_TEXT_BYTES];

	str_sanitize(name, sizeof(name), rule->name, strlen(rule->name));
	str_sanitize(text, sizeof(text), rule->text, strlen(rule->text));
	printf("%-24s %-8s %s\n", name, rule->children ? "yes" : "no", text);
}

static void print_rules(const Taskmon__Welcome *welcome)
{
	printf("%-24s %-8s %s\n", "NAME", "CHILDREN", "SELECTS");
	for (size_t i = 0; i < welcome->n_rules; i++)
		print_rule(welcome->rules[i]);
}

static void on_connected(struct link *link, int err)
{
	if (err)
		end_inquiry(link->context);
}

static int on_frame(struct link *link, const Taskmon__Frame *message)
{
	if (message->body_case == TASKMON__FRAME__BODY_WELCOME)
		read_welcome(link->context, message->welcome);
	if (message->body_case == TASKMON__FRAME__BODY_WELCOME && ((struct inquiry *)link->context)->prints_rules)
		print_rules(message->welcome);
	end_inquiry(link->context);
	return 0;
}

static void on_settled(struct link *link)
{
	(void)link;
}

static void on_lost(struct link *link, int err)
{
	(void)err;
	end_inquiry(link->context);
}

static void ask(struct inquiry *inquiry, const char *socket_path)
{
	static const struct link_callbacks callbacks = { on_connected, on_frame, on_settled, on_lost };

	if (uv_loop_init(&inquiry->loop))
		return;
	uv_timer_init(&inquiry->loop, &inquiry->guard);
	inquiry->guard.data = inquiry;
	uv_timer_start(&inquiry->guard, on_guard, ANSWER_MS, 0);
	link_open(&inquiry->link, &inquiry->loop, socket_path, &callbacks, inquiry);
	uv_run(&inquiry->loop, UV_RUN_DEFAULT);
	uv_loop_close(&inquiry->loop);
}

int list_metrics(const struct options *options)
{
	struct inquiry *inquiry = calloc(1, sizeof(*inquiry));

	if (!inquiry) {
		log_error(NULL, "out of memory");
		return STATUS_FAILED;
	}
	ask(inquiry, options->socket_path);
	printf("%-30s %-8s %-8s %-8s %-5s %-22s %s\n", "NAME", "KIND", "SCOPE", "UNIT", "COST", "AVAILABLE", "HELP");
	for (int id = 0; id < METRIC_TOTAL; id++) {
		const struct metric *metric = &metrics[id];

		printf("%-30s %-8s %-8s %-8s %-5s %-22s %s\n", metric->name, metric_kind_name(metric->kind),
		       metric_scope_name(metric->scope), metric_unit_name(metric->unit), metric_cost_name(metric->cost),
		       inquiry->answered ? inquiry->available[id] : "unknown (no collector)", metric->help);
	}
	free(inquiry);
	return STATUS_DONE;
}

static void print_needs(uint64_t needs)
{
	for (int id = 0; id < METRIC_TOTAL; id++) {
		if (!(needs & METRIC_BIT(id)))
			continue;
		needs &= ~METRIC_BIT(id);
		printf("%s%s", metrics[id].name, needs ? "," : "");
	}
}

int list_modules(const struct options *options)
{
	(void)options;
	printf("%-8s %-12s %-10s %-52s %s\n", "NAME", "FILE", "AVAILABLE", "HELP", "NEEDS");
	for (int id = 0; id < MODULE_TOTAL; id++) {
		const struct module *module = &modules[id];

		printf("%-8s %-12s %-10s %-52s ", module->name, module->file, module->available ? "yes" : "not yet", module->help);
		if (module->needs)
			print_needs(module->needs);
		else
			fputs(id == MODULE_TASK ? "--metrics" : "-", stdout);
		putchar('\n');
	}
	return STATUS_DONE;
}

int list_rules(const struct options *options)
{
	struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
	bool answered;

	if (!inquiry) {
		log_error(NULL, "out of memory");
		return STATUS_FAILED;
	}
	inquiry->prints_rules = true;
	ask(inquiry, options->socket_path);
	answered = inquiry->answered;
	free(inquiry);
	if (answered)
		return STATUS_DONE;
	log_error(NULL, "no collector at %s: start one with: sudo taskmon-collector &", options->socket_path);
	return STATUS_NO_COLLECTOR;
}
