/* SPDX-License-Identifier: BSD-2-Clause */
#include "rule_single.h"

#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metric.h"
#include "rule_term.h"

enum { HOLD_DEFAULT_S = 10, HOLD_MAX_S = 86400, TOKEN_BYTES_MAX = 4095 };

/* The term must hold too. Takes the number of a term, or why there is none. */
static int need(struct rule_reading *reading, int term, const cJSON *value, struct json_file *file)
{
	if (term == -E2BIG)
		return json_file_refuse(file, value, "a rule with more than %d different conditions", RULE_TERMS_MAX);
	for (size_t i = 0; term >= 0 && i < reading->dnf->count; i++)
		reading->dnf->clauses[i].need |= 1ULL << term;
	return term < 0 ? term : 0;
}

/* A name is at most 15 bytes in the kernel; only its end may be left open. */
bool rule_valid_name(const char *word)
{
	size_t length = strlen(word), stars = strcspn(word, "*?[");

	return length > 0 && (stars == length ? length < TASK_COMM_BYTES :
						word[stars] == '*' && stars + 1 == length && stars < TASK_COMM_BYTES - 1);
}

static bool valid_token(const char *word)
{
	return *word && strlen(word) <= TOKEN_BYTES_MAX && strcmp(word, "*/") != 0;
}

/* A string or a list of them. */
static int read_words(struct rule_reading *reading, const cJSON *value, struct json_file *file, enum term_kind kind,
		      bool (*valid)(const char *word), const char *expected)
{
	bool is_list = cJSON_IsArray(value);
	size_t room = is_list ? (size_t)cJSON_GetArraySize(value) : 1, count = 0;
	char **words = calloc(room + 1, sizeof(*words));
	int err = 0;

	if (!words)
		return -ENOMEM;
	if (room == 0)
		err = json_file_refuse(file, value, "\"%s\": an empty list (expected %s)", value->string, expected);
	for (const cJSON *word = is_list ? value->child : value; !err && word; word = is_list ? word->next : NULL) {
		if (!cJSON_IsString(word) || !valid(word->valuestring))
			err = json_file_refuse(file, word, "\"%s\": expected %s", value->string, expected);
		else
			words[count++] = word->valuestring;
	}
	if (!err)
		err = need(reading, rule_add_words(reading->rule, kind, words, count), value, file);
	free(words);
	return err;
}

int rule_read_comm(void *target, const cJSON *value, struct json_file *file)
{
	return read_words(target, value, file, TERM_NAME, rule_valid_name, RULE_NAMES_EXPECTED);
}

int rule_read_kernel_thread(void *target, const cJSON *value, struct json_file *file)
{
	return read_words(target, value, file, TERM_KERNEL_THREAD, rule_valid_name, RULE_NAMES_EXPECTED);
}

int rule_read_argv(void *target, const cJSON *value, struct json_file *file)
{
	return read_words(target, value, file, TERM_ARGV, valid_token, RULE_TOKENS_EXPECTED);
}

int rule_read_user(void *target, const cJSON *value, struct json_file *file)
{
	struct rule_reading *reading = target;
	struct term term = { .kind = TERM_USER };
	const struct passwd *user = cJSON_IsString(value) ? getpwnam(value->valuestring) : NULL;
	size_t id;

	if (user)
		term.user = user->pw_uid;
	else if (json_whole(value, 0, UINT32_MAX - 1.0, &id) == 0)
		term.user = (uint32_t)id;
	else
		return -EINVAL;
	if (asprintf(&term.text, "user %u", term.user) < 0)
		term.text = NULL;
	return need(reading, rule_add_term(reading->rule, &term), value, file);
}

/* --- connections */

static const struct {
	const char *name;
	u16 number;
} protocols[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "any", 0 } };

static int read_protocol(void *target, const cJSON *value, struct json_file *file)
{
	struct connection_key *connection = target;

	(void)file;
	for (size_t i = 0; cJSON_IsString(value) && i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (strcmp(protocols[i].name, value->valuestring) == 0) {
			connection->protocol = protocols[i].number;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_port(void *target, const cJSON *value, struct json_file *file)
{
	struct connection_key *connection = target;
	size_t port;

	(void)file;
	if (json_whole(value, 1, UINT16_MAX, &port))
		return -EINVAL;
	connection->port = (u16)port;
	return 0;
}

static const char *protocol_name(u16 number)
{
	size_t i = 0;

	while (protocols[i].number != number)
		i++;
	return protocols[i].name;
}

int rule_read_connection(void *target, const cJSON *value, struct json_file *file)
{
	static const struct json_setting settings[] = {
		{ "protocol", read_protocol, RULE_PROTOCOLS_EXPECTED },
		{ "port", read_port, "a whole number from 1 to 65535" },
		{ NULL, NULL, NULL },
	};
	struct rule_reading *reading = target;
	struct term term = { .kind = TERM_CONNECTION };
	int err = cJSON_IsObject(value) ? json_file_apply(file, value, settings, &term.connection) :
					  read_protocol(&term.connection, value, file);

	if (err)
		return err;
	if (asprintf(&term.text, term.connection.port ? "connection %s port %u" : "connection %s",
		     protocol_name(term.connection.protocol), term.connection.port) < 0)
		term.text = NULL;
	return need(reading, rule_add_term(reading->rule, &term), value, file);
}

/* --- limits */

struct bound {
	bool is_set, below;
	double value, hold_s;
};

static int set_bound(struct bound *bound, const cJSON *value, bool below, struct json_file *file)
{
	if (bound->is_set)
		return json_file_refuse(file, value, "expected one of \"above\" and \"below\"");
	bound->is_set = true;
	bound->below = below;
	return json_number(value, 0, 1e18, &bound->value);
}

static int read_above(void *target, const cJSON *value, struct json_file *file)
{
	return set_bound(target, value, false, file);
}

static int read_below(void *target, const cJSON *value, struct json_file *file)
{
	return set_bound(target, value, true, file);
}

static int read_hold(void *target, const cJSON *value, struct json_file *file)
{
	(void)file;
	return json_number(value, 0, HOLD_MAX_S, &((struct bound *)target)->hold_s);
}

/* METRIC or METRIC_rate; its number, or a negative errno. */
static int find_limited_metric(const char *name, bool *is_rate)
{
	size_t length = strlen(name);
	int id = metric_find(name, length);

	*is_rate = false;
	if (id < 0 && length > 5 && strcmp(name + length - 5, "_rate") == 0) {
		*is_rate = true;
		id = metric_find(name, length - 5);
	}
	if (id < 0 || metrics[id].cost != METRIC_FREE || id == M_task_state || (*is_rate && metrics[id].kind != METRIC_COUNTER))
		return -ENOENT;
	return id;
}

/* A rate of nanoseconds per second is a share: 0.8 is 80 % of a CPU. */
static double scale_of(int metric, bool is_rate)
{
	return is_rate && metrics[metric].unit == METRIC_NS ? 1e9 : 1;
}

int rule_read_limit(void *target, const cJSON *value, struct json_file *file)
{
	static const struct json_setting settings[] = {
		{ "above", read_above, "a number that is not negative" },
		{ "below", read_below, "a number that is not negative" },
		{ "hold", read_hold, "seconds, at most 86400" },
		{ NULL, NULL, NULL },
	};
	const cJSON *entry = cJSON_IsObject(value) && cJSON_GetArraySize(value) == 1 ? value->child : NULL;
	struct rule_reading *reading = target;
	struct term term = { .kind = TERM_LIMIT };
	struct bound bound = { .hold_s = HOLD_DEFAULT_S };
	bool is_rate;
	int metric, err;

	if (!entry || !cJSON_IsObject(entry))
		return -EINVAL;
	metric = find_limited_metric(entry->string, &is_rate);
	if (metric < 0)
		return json_file_refuse(file, entry, "\"%.64s\": expected a metric of cost free, or such a counter and _rate",
					entry->string);
	err = json_file_apply(file, entry, settings, &bound);
	if (err)
		return err;
	if (!bound.is_set)
		return json_file_refuse(file, entry, "\"%s\" has neither \"above\" nor \"below\"", entry->string);
	term.limit = (struct limit){
		.metric = (u32)metric,
		.is_rate = is_rate,
		.below = bound.below,
		.value = (u64)(bound.value * scale_of(metric, is_rate)),
		.hold_ns = (u64)(bound.hold_s * 1e9),
	};
	if (asprintf(&term.text, "limit %s %s %g hold %g s", entry->string, bound.below ? "below" : "above", bound.value,
		     bound.hold_s) < 0)
		term.text = NULL;
	return need(reading, rule_add_term(reading->rule, &term), value, file);
}
