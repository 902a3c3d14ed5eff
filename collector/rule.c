/* SPDX-License-Identifier: BSD-2-Clause */
#include "rule.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "metric.h"
#include "str.h"

enum { FILE_BYTES_MAX = 8 << 20, HOLD_DEFAULT_S = 10, HOLD_MAX_S = 86400, WORD_MAX = 4096 };

/* What reading a rule takes; `error` has what went wrong first. */
struct reading {
	const char *path, *text;
	const char *at; /* where in `text` the rule begins, as far as is known */
	struct rule *rule;
	char *error;
	size_t error_size;
};

/* Alternatives: one of them must hold. */
struct dnf {
	size_t count;
	struct rule_clause clauses[RULE_CLAUSES_MAX];
};

static int line_of(const char *text, const char *at)
{
	int line = 1;

	for (; at && text < at; text++)
		line += *text == '\n';
	return line;
}

/* cJSON keeps no positions, but a key stands in its file in quotes. */
static const char *find_key(const char *from, const char *key)
{
	char quoted[RULE_NAME_MAX + 64];

	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	return strstr(from, quoted);
}

__attribute__((format(printf, 3, 4))) static int fail(struct reading *reading, const char *key, const char *format, ...)
{
	const char *at = key ? find_key(reading->at, key) : NULL;
	char what[256], name[RULE_NAME_MAX + 1], line[PATH_MAX + 512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	str_sanitize(name, sizeof(name), reading->rule->name, strlen(reading->rule->name));
	snprintf(line, sizeof(line), "%s:%d: rule \"%s\": %s", reading->path,
		 line_of(reading->text, at ? at : reading->at), name, what);
	str_sanitize(reading->error, reading->error_size, line, strlen(line)); /* keys of the file are in it */
	return -EINVAL;
}

/* --- terms */

static void term_free(struct term *term)
{
	for (size_t i = 0; i < term->word_count; i++)
		free(term->words[i]);
	free(term->words);
	free(term->text);
}

void rule_free(struct rule *rule)
{
	if (!rule)
		return;
	for (size_t i = 0; i < rule->term_count; i++)
		term_free(&rule->terms[i]);
	free(rule->name);
	free(rule->text);
	free(rule);
}

/* Takes the term over; its bit in the rule, or a negative errno. */
static int add_term(struct rule *rule, struct term *term)
{
	for (size_t i = 0; i < rule->term_count; i++) {
		if (strcmp(rule->terms[i].text, term->text) != 0)
			continue;
		term_free(term);
		return (int)i;
	}
	if (rule->term_count == RULE_TERMS_MAX) {
		term_free(term);
		return -E2BIG;
	}
	rule->terms[rule->term_count] = *term;
	return (int)rule->term_count++;
}

static int finish_term(struct reading *reading, struct term *term, struct dnf *dnf)
{
	int bit = term->text ? add_term(reading->rule, term) : -ENOMEM;

	if (bit == -E2BIG)
		return fail(reading, NULL, "more than %d different conditions", RULE_TERMS_MAX);
	if (bit < 0)
		return fail(reading, NULL, "out of memory");
	dnf->count = 1;
	dnf->clauses[0] = (struct rule_clause){ .need = 1ULL << bit };
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "name nginx,redis-server" */
static char *describe_words(const char *kind, char *const *words, size_t count)
{
	size_t size = strlen(kind) + 2;
	char *text;

	for (size_t i = 0; i < count; i++)
		size += strlen(words[i]) + 1;
	text = malloc(size);
	if (!text)
		return NULL;
	strcpy(text, kind);
	for (size_t i = 0, at = strlen(kind); i < count; i++)
		at += (size_t)sprintf(text + at, "%s%s", i ? "," : " ", words[i]);
	return text;
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
	return *word && strlen(word) < WORD_MAX && strcmp(word, "*/") != 0;
}

static int add_word(struct term *term, const char *word)
{
	char **grown = reallocarray(term->words, term->word_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	term->words = grown;
	term->words[term->word_count] = strdup(word);
	return term->words[term->word_count++] ? 0 : -ENOMEM;
}

/* A string or a list of them. */
static int read_words(struct reading *reading, const cJSON *value, struct term *term, bool (*valid)(const char *word),
		      const char *expected, const char *kind)
{
	const cJSON *word = cJSON_IsArray(value) ? value->child : value;

	if (!word)
		return fail(reading, value->string, "\"%s\": an empty list (expected %s)", value->string, expected);
	for (; word; word = cJSON_IsArray(value) ? word->next : NULL) {
		if (!cJSON_IsString(word) || !valid(word->valuestring))
			return fail(reading, value->string, "\"%s\": expected %s", value->string, expected);
		if (add_word(term, word->valuestring))
			return fail(reading, value->string, "out of memory");
	}
	qsort(term->words, term->word_count, sizeof(term->words[0]), compare_words);
	term->text = describe_words(kind, term->words, term->word_count);
	return 0;
}

#define NAMES_EXPECTED "a name of at most 15 bytes, or its beginning and *, or a list of those"

static int read_word_term(struct reading *reading, const cJSON *value, enum term_kind kind, const char *name,
			  bool (*valid)(const char *word), const char *expected, struct dnf *dnf)
{
	struct term term = { .kind = kind };

	if (read_words(reading, value, &term, valid, expected, name)) {
		term_free(&term);
		return -EINVAL;
	}
	return finish_term(reading, &term, dnf);
}

static int read_comm(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	return read_word_term(reading, value, TERM_NAME, "comm", rule_valid_name, NAMES_EXPECTED, dnf);
}

static int read_kernel_thread(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	return read_word_term(reading, value, TERM_KERNEL_THREAD, "kernel_thread", rule_valid_name, NAMES_EXPECTED, dnf);
}

static int read_argv(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	return read_word_term(reading, value, TERM_ARGV, "argv", valid_token,
			      "a whole argument, or */ and the last part of a path, or a list of those", dnf);
}

static int read_user(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	struct term term = { .kind = TERM_USER };
	const struct passwd *user = cJSON_IsString(value) ? getpwnam(value->valuestring) : NULL;

	if (user)
		term.user = user->pw_uid;
	else if (cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble < UINT32_MAX)
		term.user = (uint32_t)value->valuedouble;
	else
		return fail(reading, "user", "\"user\": expected the name of an existing user, or a user id");
	if (asprintf(&term.text, "user %u", term.user) < 0)
		term.text = NULL;
	return finish_term(reading, &term, dnf);
}

static const struct {
	const char *name;
	u16 number;
} protocols[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "any", 0 } };

static int read_connection(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	struct term term = { .kind = TERM_CONNECTION };
	const cJSON *protocol = cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, "protocol") : value;
	const cJSON *port = cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, "port") : NULL;
	const char *name = protocol ? cJSON_GetStringValue(protocol) : "any";
	int known = cJSON_IsObject(value) ? !!port + (protocol && protocol != value) : 0;
	size_t i = 0;

	while (name && i < sizeof(protocols) / sizeof(protocols[0]) && strcmp(protocols[i].name, name) != 0)
		i++;
	if (!name || i == sizeof(protocols) / sizeof(protocols[0]) ||
	    (cJSON_IsObject(value) && cJSON_GetArraySize(value) != known) ||
	    (port && (!cJSON_IsNumber(port) || port->valuedouble < 1 || port->valuedouble > UINT16_MAX ||
		      port->valuedouble != floor(port->valuedouble))))
		return fail(reading, "connection",
			    "\"connection\": expected \"tcp\", \"udp\", \"any\", or {\"protocol\": one of those, \"port\": 1 to 65535}");
	term.connection = (struct connection_key){ protocols[i].number, port ? (u16)port->valuedouble : 0 };
	if (asprintf(&term.text, port ? "connection %s port %u" : "connection %s", name, term.connection.port) < 0)
		term.text = NULL;
	return finish_term(reading, &term, dnf);
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
	if (id < 0 || metrics[id].cost != METRIC_FREE || id == M_task_state ||
	    (*is_rate && metrics[id].kind != METRIC_COUNTER))
		return -ENOENT;
	return id;
}

/* A rate of nanoseconds per second is a share: 0.8 is 80 % of a CPU. */
static double scale_of(int metric, bool is_rate)
{
	return is_rate && metrics[metric].unit == METRIC_NS ? 1e9 : 1;
}

static int read_limit(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	const cJSON *entry = cJSON_IsObject(value) && cJSON_GetArraySize(value) == 1 ? value->child : NULL;
	struct term term = { .kind = TERM_LIMIT };
	double hold_s = HOLD_DEFAULT_S, bound = -1;
	const cJSON *part;
	bool is_rate;
	int metric;

	if (!entry || !cJSON_IsObject(entry))
		return fail(reading, "limit", "\"limit\": expected {METRIC or METRIC_rate: {\"above\" or \"below\": NUMBER}}");
	metric = find_limited_metric(entry->string, &is_rate);
	if (metric < 0)
		return fail(reading, "limit", "\"limit\": \"%.64s\": expected a metric of cost free, or such a counter and _rate",
			    entry->string);
	cJSON_ArrayForEach(part, entry) {
		bool above = strcmp(part->string, "above") == 0, below = strcmp(part->string, "below") == 0;

		if (!cJSON_IsNumber(part) || part->valuedouble < 0 || part->valuedouble > 1e18)
			return fail(reading, part->string, "\"%.64s\": expected a number that is not negative", part->string);
		if (strcmp(part->string, "hold") == 0 && part->valuedouble <= HOLD_MAX_S)
			hold_s = part->valuedouble;
		else if ((above || below) && bound < 0)
			bound = part->valuedouble, term.limit.below = below;
		else
			return fail(reading, part->string,
				    "\"%.64s\": expected one of \"above\" and \"below\", and \"hold\" in seconds (at most 86400)",
				    part->string);
	}
	if (bound < 0)
		return fail(reading, "limit", "\"limit\": \"%s\" has neither \"above\" nor \"below\"", entry->string);
	term.limit.metric = (u32)metric;
	term.limit.is_rate = is_rate;
	term.limit.value = (u64)(bound * scale_of(metric, is_rate));
	term.limit.hold_ns = (u64)(hold_s * 1e9);
	if (asprintf(&term.text, "limit %s %s %g hold %g s", entry->string, term.limit.below ? "below" : "above", bound,
		     hold_s) < 0)
		term.text = NULL;
	return finish_term(reading, &term, dnf);
}

/* --- combining */

static int too_many(struct reading *reading)
{
	return fail(reading, NULL, "more than %d alternatives", RULE_CLAUSES_MAX);
}

/* dnf = dnf and other */
static int both(struct reading *reading, struct dnf *dnf, const struct dnf *other)
{
	const struct dnf before = *dnf;

	if (before.count * other->count > RULE_CLAUSES_MAX)
		return too_many(reading);
	dnf->count = 0;
	for (size_t i = 0; i < before.count; i++)
		for (size_t j = 0; j < other->count; j++)
			dnf->clauses[dnf->count++] = (struct rule_clause){
				before.clauses[i].need | other->clauses[j].need,
				before.clauses[i].except | other->clauses[j].except,
			};
	return 0;
}

static int read_condition(struct reading *reading, const cJSON *value, struct dnf *dnf);

static int read_any(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	const cJSON *part;
	struct dnf one;

	if (!cJSON_IsArray(value) || !value->child)
		return fail(reading, value->string, "\"%s\": expected a list of conditions", value->string);
	dnf->count = 0;
	cJSON_ArrayForEach(part, value) {
		if (read_condition(reading, part, &one))
			return -EINVAL;
		if (dnf->count + one.count > RULE_CLAUSES_MAX)
			return too_many(reading);
		memcpy(&dnf->clauses[dnf->count], one.clauses, one.count * sizeof(one.clauses[0]));
		dnf->count += one.count;
	}
	return 0;
}

static int read_all(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	const cJSON *part;
	struct dnf one;

	if (!cJSON_IsArray(value) || !value->child)
		return fail(reading, value->string, "\"%s\": expected a list of conditions", value->string);
	*dnf = (struct dnf){ .count = 1 };
	cJSON_ArrayForEach(part, value)
		if (read_condition(reading, part, &one) || both(reading, dnf, &one))
			return -EINVAL;
	return 0;
}

/* Not any of these: each must be one term, or "not" would be more than a bit. */
static int read_except(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	const cJSON *part = cJSON_IsArray(value) ? value->child : value;
	struct dnf one;

	*dnf = (struct dnf){ .count = 1 };
	for (; part; part = cJSON_IsArray(value) ? part->next : NULL) {
		if (read_condition(reading, part, &one))
			return -EINVAL;
		for (size_t i = 0; i < one.count; i++) {
			if (one.clauses[i].except || __builtin_popcountll(one.clauses[i].need) != 1)
				return fail(reading, "except", "\"except\": expected a condition of one key, or a list of such");
			dnf->clauses[0].except |= one.clauses[i].need;
		}
	}
	return 0;
}

static const struct {
	const char *name;
	int (*read)(struct reading *reading, const cJSON *value, struct dnf *dnf);
} conditions[] = {
	{ "comm", read_comm },   { "kernel_thread", read_kernel_thread },
	{ "argv", read_argv },   { "user", read_user },
	{ "limit", read_limit }, { "connection", read_connection },
	{ "any", read_any },     { "all", read_all },
	{ "except", read_except },
};

/* All keys of an object must hold. */
static int read_condition(struct reading *reading, const cJSON *value, struct dnf *dnf)
{
	const cJSON *part;

	if (!cJSON_IsObject(value) || !value->child)
		return fail(reading, NULL, "expected a condition: an object with at least one key");
	*dnf = (struct dnf){ .count = 1 };
	cJSON_ArrayForEach(part, value) {
		struct dnf one;
		size_t i = 0;

		while (i < sizeof(conditions) / sizeof(conditions[0]) && strcmp(conditions[i].name, part->string) != 0)
			i++;
		if (i == sizeof(conditions) / sizeof(conditions[0]))
			return fail(reading, part->string,
				    "unknown key \"%.64s\" (expected comm, argv, kernel_thread, user, connection, limit, any, all or except)",
				    part->string);
		if (conditions[i].read(reading, part, &one) || both(reading, dnf, &one))
			return -EINVAL;
	}
	return 0;
}

/* What concerns the rule as a whole stands beside its condition. */
static int read_rule(struct reading *reading, cJSON *object)
{
	cJSON *children = cJSON_DetachItemFromObjectCaseSensitive(object, "children");
	cJSON *comment = cJSON_DetachItemFromObjectCaseSensitive(object, "description");
	struct dnf dnf;
	int err = 0;

	if (children && !cJSON_IsBool(children))
		err = fail(reading, "children", "\"children\": expected true or false");
	if (!err && comment && !cJSON_IsString(comment))
		err = fail(reading, "description", "\"description\": expected a text");
	if (!err)
		err = read_condition(reading, object, &dnf);
	for (size_t i = 0; !err && i < dnf.count; i++)
		if (!dnf.clauses[i].need)
			err = fail(reading, "except", "only exceptions (expected something that selects)");
	if (!err) {
		reading->rule->children = cJSON_IsTrue(children);
		reading->rule->clause_count = dnf.count;
		memcpy(reading->rule->clauses, dnf.clauses, dnf.count * sizeof(dnf.clauses[0]));
		reading->rule->text = cJSON_IsString(comment) ? strdup(comment->valuestring) : cJSON_PrintUnformatted(object);
		err = reading->rule->text ? 0 : fail(reading, NULL, "out of memory");
	}
	cJSON_Delete(children);
	cJSON_Delete(comment);
	return err;
}

/* --- files */

static char *read_file(const char *path, char *error, size_t error_size)
{
	FILE *file = fopen(path, "re");
	struct stat info;
	char *text = NULL;
	int err = errno;

	if (!file || fstat(fileno(file), &info)) {
		snprintf(error, error_size, "%s: %s", path, strerror(err));
	} else if (!S_ISREG(info.st_mode) || info.st_size > FILE_BYTES_MAX) {
		snprintf(error, error_size, "%s: not a regular file of at most 8 MiB", path);
		err = EINVAL;
	} else if ((text = malloc((size_t)info.st_size + 1))) {
		text[fread(text, 1, (size_t)info.st_size, file)] = '\0';
	}
	if (file)
		fclose(file);
	errno = err;
	return text;
}

static struct rule *rule_new(const char *name)
{
	struct rule *rule = calloc(1, sizeof(*rule));

	if (rule)
		rule->name = strdup(name);
	if (!rule || rule->name)
		return rule;
	free(rule);
	return NULL;
}

/* Takes the rule over. */
static int put_rule(struct rules *rules, struct rule *rule)
{
	struct rule **grown;

	for (size_t i = 0; i < rules->count; i++) {
		if (strcmp(rules->list[i]->name, rule->name) != 0)
			continue;
		rule_free(rules->list[i]);
		rules->list[i] = rule;
		return 0;
	}
	grown = reallocarray(rules->list, rules->count + 1, sizeof(*grown));
	if (!grown) {
		rule_free(rule);
		return -ENOMEM;
	}
	rules->list = grown;
	rules->list[rules->count++] = rule;
	return 0;
}

static bool valid_rule_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= RULE_NAME_MAX && strcspn(name, ",;\"\\ \t\n\r") == length;
}

static int read_rules(struct rules *rules, cJSON *object, struct reading *reading)
{
	cJSON *entry;

	cJSON_ArrayForEach(entry, object) {
		struct rule *rule = rule_new(entry->string);
		int err;

		if (!rule)
			return -ENOMEM;
		reading->rule = rule;
		reading->at = find_key(reading->text, entry->string);
		reading->at = reading->at ? reading->at : reading->text;
		if (!valid_rule_name(entry->string))
			err = fail(reading, NULL, "expected a name of at most %d bytes without spaces, commas and quotes", RULE_NAME_MAX);
		else if (!cJSON_IsObject(entry))
			err = fail(reading, NULL, "expected an object");
		else
			err = read_rule(reading, entry);
		if (err) {
			rule_free(rule);
			return err;
		}
		err = put_rule(rules, rule);
		if (err)
			return err;
	}
	return 0;
}

int rules_read(struct rules *rules, const char *path, char *error, size_t error_size)
{
	struct reading reading = { .path = path, .error = error, .error_size = error_size };
	char *text = read_file(path, error, error_size);
	const char *end = NULL;
	cJSON *root, *object;
	int err = -EINVAL;

	if (!text)
		return errno == ENOENT ? -ENOENT : -EINVAL;
	reading.text = text;
	snprintf(error, error_size, "%s: out of memory", path);
	root = cJSON_ParseWithOpts(text, &end, true);
	object = cJSON_GetObjectItemCaseSensitive(root, "rules");
	if (!cJSON_IsObject(root))
		snprintf(error, error_size, "%s:%d: not valid JSON (an object was expected)", path,
			 root ? 1 : line_of(text, end));
	else if (object && !cJSON_IsObject(object))
		snprintf(error, error_size, "%s:%d: \"rules\": expected an object of rules by name", path,
			 line_of(text, find_key(text, "rules")));
	else
		err = read_rules(rules, object, &reading);
	cJSON_Delete(root);
	free(text);
	return err;
}

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		rule_free(rules->list[i]);
	free(rules->list);
	*rules = (struct rules){ 0 };
}

int rules_load(struct rules *rules, const char *known_apps, const char *config, char *error, size_t error_size)
{
	struct rules fresh = { 0 };
	int err = known_apps ? rules_read(&fresh, known_apps, error, error_size) : 0;

	if (!err && config)
		err = rules_read(&fresh, config, error, error_size);
	if (err) {
		rules_free(&fresh);
		return -EINVAL;
	}
	rules_free(rules);
	*rules = fresh;
	return 0;
}

const struct rule *rules_find(const struct rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->count; i++)
		if (strcmp(rules->list[i]->name, name) == 0)
			return rules->list[i];
	return NULL;
}

struct rule *rule_of_names(char *const *names, size_t count)
{
	struct rule *rule = rule_new("");
	struct term term = { .kind = TERM_NAME };

	for (size_t i = 0; rule && i < count; i++) {
		if (add_word(&term, names[i])) {
			rule_free(rule);
			rule = NULL;
		}
	}
	if (rule) {
		qsort(term.words, term.word_count, sizeof(term.words[0]), compare_words);
		term.text = describe_words("comm", term.words, term.word_count);
	}
	if (!rule || !term.text || add_term(rule, &term) < 0) {
		term_free(&term);
		rule_free(rule);
		return NULL;
	}
	rule->clause_count = 1;
	rule->clauses[0].need = 1;
	return rule;
}
