/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said when a client has gone wrong: to it, and in the log. session_refuse() and session_refuse_process() are here,
 * too; session_fail(), which ends the session, is made of these.
 */
#ifndef TASKMON_REFUSAL_H
#define TASKMON_REFUSAL_H

#include <stdarg.h>

#include "session.h"

/** Send an Error; `request` and `process` are 0 where it is about none. */
void refusal_send(struct session *session, Taskmon__Error__Code code, uint32_t request, uint32_t process, const char *format,
		  va_list arguments);

/** It is disconnected, and why: `text` may hold what the client sent. */
void refusal_log(const struct client *client, const char *text);

#endif
