/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_thresholds.h"
#include "csv_tables.h"
#include "declaration.h"
#include "json_file.h"
#include "log.h"
#include "option_values.h"

enum { REASON_BYTES = 256 };

struct reading {
	struct options *options;
	bool has_modules;      /* the key "modules" */
	bool has_switches;     /* one of the snoop_ keys */
	unsigned int switched; /* on by those */
	unsigned int named;    /* bit per module whose file has a name */
};

/* --- modules: a switch, and the file of each */

static const struct {
	const char *switch_key, *file_key;
	enum module_id module;
} module_keys[] = {
	{ "snoop_cpu", "cpu_output_file", MODULE_CPU },
	{ "snoop_mem", "mem_output_file", MODULE_MEM },
	{ "snoop_network", "network_output_file", MODULE_NET },
	{ "snoop_syscall", "syscall_output_file", MODULE_SYSCALL },
	{ NULL, "output_file", MODULE_MEMLEAK },
};

static enum module_id module_of(const char *key)
{
	size_t i = 0;

	while (strcmp(module_keys[i].file_key, key) != 0 &&
	       !(module_keys[i].switch_key && strcmp(module_keys[i].switch_key, key) == 0))
		i++;
	return module_keys[i].module;
}

static const char *file_key_of(enum module_id module)
{
	for (size_t i = 0; i < sizeof(module_keys) / sizeof(module_keys[0]); i++)
		if (module_keys[i].module == module)
			return module_keys[i].file_key;
	return "csv";
}

/* What a switch may say. */
static const struct {
	const char *word;
	bool on, cpu_only;
	enum cpu_source cpu;
} switch_words[] = {
	{ "bpf", true, false, CPU_BPF },  { "bcc", true, false, CPU_BPF }, { "None", false, false, CPU_BPF },
	{ "stat", true, true, CPU_STAT }, { "top", true, true, CPU_TOP },
};

static int apply_switch(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	enum module_id module = module_of(value->string);
	const char *word = cJSON_IsNull(value) ? "None" : cJSON_GetStringValue(value);
	size_t i = 0, count = sizeof(switch_words) / sizeof(switch_words[0]);

	while (word && i < count && (strcmp(switch_words[i].word, word) != 0 || (switch_words[i].cpu_only && module != MODULE_CPU)))
		i++;
	if (!word || i == count)
		return -EINVAL;
	reading->has_switches = true;
	if (!switch_words[i].on)
		return 0;
	if (!modules[module].available)
		return json_file_refuse(
			file, value, "\"%s\": \"%s\" is not available in version " TASKMON_VERSION " (expected \"None\" or null)",
			value->string, word);
	reading->switched |= MODULE_BIT(module);
	if (module == MODULE_CPU)
		reading->options->cpu = switch_words[i].cpu;
	return 0;
}

static int apply_output_file(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	enum module_id module = module_of(value->string);

	(void)file;
	reading->named |= MODULE_BIT(module);
	return json_text(value, &reading->options->files[module]);
}

/* --- memleak_probes */

static int apply_probe(struct options *options, const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value), *colon = text ? strchr(text, ':') : NULL;

	options->probes_of_config = true;
	if (!colon || colon == text || !colon[1])
		return -EINVAL;
	return value_append_text(text, &options->probes, &options->probe_count);
}

static int apply_probes(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	const cJSON *probe;
	int err = 0;

	(void)file;
	if (!cJSON_IsArray(value))
		return apply_probe(reading->options, value);
	cJSON_ArrayForEach(probe, value) {
		err = apply_probe(reading->options, probe);
		if (err)
			break;
	}
	return err;
}

static int apply_additional_var(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	struct declaration declaration;
	char error[256];

	if (cJSON_IsNull(value) || (cJSON_IsString(value) && !value->valuestring[0]))
		return 0;
	if (cJSON_IsString(value) && declaration_parse(&declaration, value->valuestring, error, sizeof(error)))
		return json_file_refuse(file, value, "\"%s\": %s", value->string, error);
	return json_text(value, &reading->options->probe_variables);
}

static const struct json_setting memleak_settings[] = {
	{ "probes", apply_probes, "a list of functions, each \"BINARY:FUNCTION\"" },
	{ "output_file", apply_output_file, "the name of a file" },
	{ "additional_var", apply_additional_var, "arguments as in C, such as \"int size, char [10] name\"" },
	{ NULL, NULL, NULL },
};

static int apply_memleak(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	int err;

	if (cJSON_IsNull(value))
		return 0;
	if (!cJSON_IsObject(value))
		return -EINVAL;
	err = json_file_apply(file, value, memleak_settings, target);
	if (!err && reading->options->probe_count && modules[MODULE_MEMLEAK].available)
		reading->switched |= MODULE_BIT(MODULE_MEMLEAK);
	return err;
}

/* --- what is also an option: taken as if it stood on the command line */

static int apply_text_option(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	char reason[REASON_BYTES] = "";
	int err;

	if (!cJSON_IsString(value))
		return -EINVAL;
	err = options_set(reading->options, value->string, value->valuestring, reason, sizeof(reason));
	return err == -EINVAL ? json_file_refuse(file, value, "\"%s\": %s", value->string, reason) : err;
}

static int apply_seconds_option(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	char text[64], reason[REASON_BYTES] = "";

	(void)file;
	if (!cJSON_IsNumber(value))
		return -EINVAL;
	snprintf(text, sizeof(text), value->valuedouble < 1e9 ? "%.9f" : "%g", value->valuedouble);
	return options_set(reading->options, value->string, text, reason, sizeof(reason));
}

/* A whole number, or a text such as "10M"; the option is called as the key, with - for _. */
static int apply_number_option(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	char text[64], name[64], reason[REASON_BYTES] = "";
	int err;

	snprintf(name, sizeof(name), "%s", value->string);
	for (char *at = name; (at = strchr(at, '_'));)
		*at = '-';
	if (cJSON_IsNumber(value))
		snprintf(text, sizeof(text), "%.15g", value->valuedouble);
	else if (cJSON_IsString(value) && strlen(value->valuestring) < sizeof(text))
		snprintf(text, sizeof(text), "%s", value->valuestring);
	else
		return -EINVAL;
	err = options_set(reading->options, name, text, reason, sizeof(reason));
	return err == -EINVAL ? json_file_refuse(file, value, "\"%s\": %s", value->string, reason) : err;
}

/* "a,b" or ["a", "b"] */
static int apply_list_option(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	char words[4096] = "", reason[REASON_BYTES] = "";
	const cJSON *word;
	size_t used = 0;
	int err;

	if (cJSON_IsString(value))
		return apply_text_option(target, value, file);
	if (!cJSON_IsArray(value) || !value->child)
		return -EINVAL;
	cJSON_ArrayForEach(word, value) {
		if (!cJSON_IsString(word))
			return -EINVAL;
		used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s", used ? "," : "", word->valuestring);
		if (used >= sizeof(words))
			return -EINVAL;
	}
	err = options_set(reading->options, value->string, words, reason, sizeof(reason));
	return err == -EINVAL ? json_file_refuse(file, value, "\"%s\": %s", value->string, reason) : err;
}

static int apply_modules(void *target, const cJSON *value, struct json_file *file)
{
	((struct reading *)target)->has_modules = true;
	return apply_list_option(target, value, file);
}

static int apply_threads(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;

	(void)file;
	return json_bool(value, &reading->options->threads);
}

static int apply_append(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;

	(void)file;
	return json_bool(value, &reading->options->output.append);
}

static int apply_multiprocess(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;
	const char *word = cJSON_GetStringValue(value);
	bool yes = cJSON_IsTrue(value) || (word && strcmp(word, "true") == 0);

	(void)file;
	if (!yes && !cJSON_IsFalse(value) && !(word && strcmp(word, "false") == 0))
		return -EINVAL;
	reading->options->children = yes ? CHILDREN_FOLLOWED : CHILDREN_IGNORED;
	return 0;
}

static int apply_thresholds(void *target, const cJSON *value, struct json_file *file)
{
	struct reading *reading = target;

	return config_thresholds(&reading->options->thresholds, value, file);
}

static const struct json_setting settings[] = {
	{ "snoop_cpu", apply_switch, "\"bpf\" (or \"bcc\"), \"stat\", \"top\", \"None\" or null" },
	{ "cpu_output_file", apply_output_file, "the name of a file" },
	{ "snoop_mem", apply_switch, "\"bpf\" (or \"bcc\"), \"None\" or null" },
	{ "mem_output_file", apply_output_file, "the name of a file" },
	{ "memleak_probes", apply_memleak, "an object with \"probes\", \"output_file\" and \"additional_var\", or null" },
	{ "snoop_network", apply_switch, "\"bpf\" (or \"bcc\"), \"None\" or null" },
	{ "network_output_file", apply_output_file, "the name of a file" },
	{ "snoop_syscall", apply_switch, "\"bpf\" (or \"bcc\"), \"None\" or null" },
	{ "syscall_output_file", apply_output_file, "the name of a file" },
	{ "interval", apply_seconds_option, "0.1 to 3600 seconds, a number" },
	{ "trace_multiprocess", apply_multiprocess, "true or false" },
	{ "thresholds", apply_thresholds, "a list of thresholds, each an object" },
	{ "csv", apply_text_option, "the name of a directory" },
	{ "json", apply_text_option, "the name of a file, or \"-\"" },
	{ "metrics", apply_list_option, "\"free\", \"all\" or a list of names" },
	{ "modules", apply_modules, "a list of modules" },
	{ "threads", apply_threads, "true or false" },
	{ "socket", apply_text_option, "the path of a socket" },
	{ "rotate_bytes", apply_number_option, "a number of bytes, or \"10M\"" },
	{ "rotate_seconds", apply_number_option, "1 to 31536000 seconds, a number" },
	{ "keep", apply_number_option, "1 to 1000 files, a number" },
	{ "append", apply_append, "true or false" },
	{ "duration", apply_seconds_option, "0.1 to 31536000 seconds, a number" },
	{ NULL, NULL, NULL },
};

/* --- the file as a whole */

static const char *file_of(const struct options *options, int module)
{
	return options->files[module] ? options->files[module] : modules[module].file;
}

/* Two modules that write one file would make nonsense of it. */
static int check_files(struct json_file *file, const struct reading *reading)
{
	for (int id = 0; id < MODULE_TOTAL; id++) {
		const char *other = strcmp(file_of(reading->options, id), CSV_EVENT_FILE) == 0 ? "the events" : NULL;
		const cJSON *at = file->root;

		if (!(reading->named & MODULE_BIT(id)))
			continue;
		for (int with = 0; !other && with < MODULE_TOTAL; with++)
			if (with != id && strcmp(file_of(reading->options, id), file_of(reading->options, with)) == 0)
				other = modules[with].name;
		if (!other)
			continue;
		if (id == MODULE_MEMLEAK)
			at = cJSON_GetObjectItemCaseSensitive(at, "memleak_probes");
		at = cJSON_GetObjectItemCaseSensitive(at, file_key_of((enum module_id)id));
		return json_file_refuse(file, at, "\"%s\": \"%s\" is the file of %s, too (expected one of its own)", at->string,
					at->valuestring, other);
	}
	return 0;
}

/*
 * As in the seed, the modules are those that are switched on, and naming their files is asking for them: in the working
 * directory unless `csv` says where.
 */
static int conclude(struct json_file *file, struct reading *reading)
{
	struct options *options = reading->options;
	int err = check_files(file, reading);

	if (err)
		return err;
	if (reading->has_modules)
		options->modules |= reading->switched;
	else if (reading->has_switches)
		options->modules = reading->switched;
	if (!options->csv_dir && (reading->named & options->modules)) {
		options->csv_dir = strdup(".");
		return options->csv_dir ? 0 : -ENOMEM;
	}
	return 0;
}

int config_read(struct options *options, const char *path, char *error, size_t error_size)
{
	struct reading reading = { .options = options };
	struct json_file file;
	int err = json_file_open(&file, path, error, error_size);

	if (!err)
		err = json_file_apply(&file, file.root, settings, &reading);
	if (!err)
		err = conclude(&file, &reading);
	json_file_close(&file);
	return err;
}
