/* SPDX-License-Identifier: BSD-2-Clause */
#include "refusal.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "str.h"

#define SUBSYSTEM "session"

enum { LOG_INTERVAL_NS = 1000000000 };

/* One line a second for all: a hostile client shall not fill the log. */
void refusal_log(const struct client *client, const char *text)
{
	static uint64_t logged_ns;
	static unsigned long untold;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	char line[256], more[64] = "";

	if (logged_ns && now_ns - logged_ns < LOG_INTERVAL_NS) {
		untold++;
		return;
	}
	if (untold)
		snprintf(more, sizeof(more), " (and %lu others since the last such line)", untold);
	str_sanitize(line, sizeof(line), text, strlen(text));
	log_warning(SUBSYSTEM, "client of uid %u, pid %d is disconnected: %s%s", client->uid, (int)client->pid, line, more);
	logged_ns = now_ns;
	untold = 0;
}

void refusal_send(struct session *session, Taskmon__Error__Code code, uint32_t request, uint32_t process, const char *format,
		  va_list arguments)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Error error = TASKMON__ERROR__INIT;
	const struct client *client = session_client(session);
	char text[512], line[512];

	vsnprintf(text, sizeof(text), format, arguments);
	error.code = code;
	error.request = request;
	error.process = process;
	error.message = text;
	message.body_case = TASKMON__FRAME__BODY_ERROR;
	message.error = &error;
	str_sanitize(line, sizeof(line), text, strlen(text));
	log_debug(SUBSYSTEM, "client of uid %u, pid %d: %s", client->uid, (int)client->pid, line);
	session_send_control(session, &message);
}

void session_refuse(struct session *session, Taskmon__Error__Code code, uint32_t request, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	refusal_send(session, code, request, 0, format, arguments);
	va_end(arguments);
}

void session_refuse_process(struct session *session, Taskmon__Error__Code code, uint32_t request, uint32_t process,
			    const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	refusal_send(session, code, request, process, format, arguments);
	va_end(arguments);
}
