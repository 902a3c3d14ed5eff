/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_site.h"

#include <stdbool.h>
#include <string.h>

#include <capstone/capstone.h>

enum {
	STEPS_MAX = 4,           /* instructions that may be passed over */
	FUNCTION_MAX = 64 << 10, /* bytes that are looked at; a larger function is probed at its beginning */
	INSTRUCTIONS_MAX = 32768,
	PLACES_MAX = 256, /* outside of the function that it jumps to */
	CHUNK_BYTES = 512,
	INSTRUCTION_BYTES = 15,
};

struct search {
	csh capstone;
	cs_insn *instruction;
	probe_site_reader read;
	void *context;
	int64_t size; /* of the function */
	int64_t site; /* that shall be reached from the function's beginning only */
	size_t instructions;
	int64_t places[PLACES_MAX];
	size_t place_count, place_done;
};

/* As arch/x86/kernel/uprobes.c does: branch_setup_xol_ops(), push_setup_xol_ops(). Without prefixes, for which it has exceptions. */
static bool is_emulated(const cs_insn *instruction)
{
	const uint8_t *byte = instruction->bytes;

	if (byte[0] >= 0x50 && byte[0] <= 0x57)
		return true; /* push */
	if (byte[0] == 0x41 && byte[1] >= 0x50 && byte[1] <= 0x57)
		return true; /* push %r8 to %r15 */
	if (byte[0] == 0x0f && byte[1] >= 0x80 && byte[1] <= 0x8f)
		return true; /* conditional jump */
	if (byte[0] >= 0x70 && byte[0] <= 0x7f)
		return true;
	return byte[0] == 0x90 || byte[0] == 0xe8 || byte[0] == 0xe9 || byte[0] == 0xeb; /* nop, call, jump */
}

static bool is_of_any_group(csh capstone, const cs_insn *instruction)
{
	static const uint8_t groups[] = { CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET, CS_GRP_INT, CS_GRP_IRET, CS_GRP_PRIVILEGE };

	for (size_t i = 0; i < sizeof(groups); i++)
		if (cs_insn_group(capstone, instruction, groups[i]))
			return true;
	return false;
}

/* Any part of a register that holds an argument, or the stack pointer. */
static bool is_needed(csh capstone, uint16_t reg)
{
	static const char *const names[] = { "rdi", "edi", "di",  "dil", "rsi", "esi", "si", "sil", "rdx", "edx", "dx",
					     "dl",  "dh",  "rcx", "ecx", "cx",  "cl",  "ch", "r8",  "r8d", "r8w", "r8b",
					     "r9",  "r9d", "r9w", "r9b", "rsp", "esp", "sp", "spl", "rip" };
	const char *name = cs_reg_name(capstone, reg);

	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return !name || strncmp(name, "xmm", 3) == 0 || strncmp(name, "ymm", 3) == 0 || strncmp(name, "zmm", 3) == 0;
}

/* It does nothing but change registers that the caller of the function does not use, or memory. */
static bool can_be_passed(csh capstone, const cs_insn *instruction)
{
	cs_regs read, written;
	uint8_t read_count, written_count;

	if (is_of_any_group(capstone, instruction) || instruction->id == X86_INS_SYSCALL || instruction->id == X86_INS_UD2)
		return false;
	if (cs_regs_access(capstone, instruction, read, &read_count, written, &written_count) != CS_ERR_OK)
		return false;
	for (uint8_t i = 0; i < written_count; i++)
		if (is_needed(capstone, written[i]))
			return false;
	return true;
}

/* The first instruction that is emulated, if those before it can be passed; -1: none. */
static int64_t find_candidate(struct search *search)
{
	uint8_t code[STEPS_MAX * INSTRUCTION_BYTES + INSTRUCTION_BYTES];
	size_t left =
		search->read(0, code, search->size < (int64_t)sizeof(code) ? (size_t)search->size : sizeof(code), search->context);
	const uint8_t *at = code;
	uint64_t address = 0;

	for (int step = 0; step <= STEPS_MAX; step++) {
		if (!cs_disasm_iter(search->capstone, &at, &left, &address, search->instruction))
			return -1;
		if (is_emulated(search->instruction))
			return (int64_t)search->instruction->address;
		if (!can_be_passed(search->capstone, search->instruction))
			return -1;
	}
	return -1;
}

static bool add_place(struct search *search, int64_t place)
{
	for (size_t i = 0; i < search->place_count; i++)
		if (search->places[i] == place)
			return true;
	if (search->place_count == PLACES_MAX)
		return false;
	search->places[search->place_count++] = place;
	return true;
}

/* False: this instruction leads, or may lead, to behind the beginning of the function and up to the site. */
static bool is_harmless(struct search *search, const cs_insn *instruction)
{
	const cs_x86_op *operand = &instruction->detail->x86.operands[0];
	int64_t target;

	if (!cs_insn_group(search->capstone, instruction, CS_GRP_JUMP))
		return true;
	if (instruction->detail->x86.op_count != 1)
		return false;
	if (operand->type == X86_OP_MEM) /* through the GOT, to the beginning of another function; else anywhere */
		return operand->mem.base == X86_REG_RIP && operand->mem.index == X86_REG_INVALID;
	if (operand->type != X86_OP_IMM)
		return false;
	target = operand->imm;
	if (target > 0 && target <= search->site)
		return false;
	return (target >= 0 && target < search->size) || add_place(search, target);
}

static bool goes_on(struct search *search, const cs_insn *instruction)
{
	return instruction->id != X86_INS_JMP && instruction->id != X86_INS_UD2 && instruction->id != X86_INS_HLT &&
	       !cs_insn_group(search->capstone, instruction, CS_GRP_RET);
}

/* All instructions from `begin` to `end`, or without an end up to where it does not go on. */
static bool is_harmless_code(struct search *search, int64_t begin, int64_t end)
{
	uint8_t chunk[CHUNK_BYTES];
	int64_t at = begin;

	while (end < 0 || at < end) {
		size_t wanted = end < 0 || end - at > CHUNK_BYTES ? CHUNK_BYTES : (size_t)(end - at);
		size_t left = search->read(at, chunk, wanted, search->context), before = left;
		const uint8_t *code = chunk;
		uint64_t address = (uint64_t)at;

		if (left == 0)
			return false;
		while (left > 0 && (left >= INSTRUCTION_BYTES || left == before || before < CHUNK_BYTES)) {
			if (!cs_disasm_iter(search->capstone, &code, &left, &address, search->instruction) ||
			    ++search->instructions > INSTRUCTIONS_MAX || !is_harmless(search, search->instruction))
				return false;
			if (end < 0 && !goes_on(search, search->instruction))
				return true;
		}
		at = (int64_t)address;
		if (end < 0 && before < CHUNK_BYTES)
			return false;
	}
	return true;
}

/* Everything that can be reached by jumps from the function, such as the parts that a compiler has put elsewhere. */
static bool is_reached_only_once(struct search *search)
{
	if (!is_harmless_code(search, 0, search->size))
		return false;
	while (search->place_done < search->place_count)
		if (!is_harmless_code(search, search->places[search->place_done++], -1))
			return false;
	return true;
}

uint64_t probe_site_choose(size_t size, probe_site_reader read, void *context)
{
	struct search search = { .read = read, .context = context, .size = (int64_t)size };
	uint64_t chosen = 0;

	if (size == 0 || size > FUNCTION_MAX || cs_open(CS_ARCH_X86, CS_MODE_64, &search.capstone) != CS_ERR_OK)
		return 0;
	cs_option(search.capstone, CS_OPT_DETAIL, CS_OPT_ON);
	search.instruction = cs_malloc(search.capstone);
	if (search.instruction) {
		search.site = find_candidate(&search);
		if (search.site > 0 && is_reached_only_once(&search))
			chosen = (uint64_t)search.site;
		cs_free(search.instruction, 1);
	}
	cs_close(&search.capstone);
	return chosen;
}
