/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_site.h"

#include <string.h>

#include "code_memory.h"
#include "unit.h"

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void expect_at(uint64_t site, const uint8_t *code, size_t size, size_t function, size_t function_size)
{
	struct code_memory memory = { code, size, function };

	assert_int_equal(probe_site_choose(function_size, code_memory_read, &memory), site);
}

static void expect(uint64_t site, const uint8_t *code, size_t size)
{
	expect_at(site, code, size, 0, size);
}

static void an_emulated_beginning_stays(void **state)
{
	(void)state;
	expect(0, BYTES(0x55, 0xc3));                         /* push %rbp; ret */
	expect(0, BYTES(0x41, 0x54, 0xc3));                   /* push %r12; ret */
	expect(0, BYTES(0x90, 0xc3));                         /* nop; ret */
	expect(0, BYTES(0xe9, 0x00, 0x00, 0x00, 0x00, 0xc3)); /* jmp to the next one */
}

static void it_moves_behind_what_does_nothing_to_arguments(void **state)
{
	(void)state;
	expect(3, BYTES(0x48, 0x85, 0xff, 0x74, 0x01, 0x55, 0xc3));             /* test %rdi,%rdi; je; push; ret: as glibc's free */
	expect(4, BYTES(0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0xc3));                   /* endbr64; push; ret */
	expect(7, BYTES(0x80, 0x3d, 0x01, 0x02, 0x14, 0x00, 0x00, 0x55, 0xc3)); /* cmpb $0,(%rip); push; ret */
	expect(3, BYTES(0x48, 0x89, 0xfb, 0x55, 0xc3));                         /* mov %rdi,%rbx; push; ret */
}

static void it_does_not_move_behind_what_changes_them(void **state)
{
	(void)state;
	expect(0, BYTES(0x31, 0xff, 0x55, 0xc3));             /* xor %edi,%edi */
	expect(0, BYTES(0x48, 0x89, 0xd6, 0x55, 0xc3));       /* mov %rdx,%rsi */
	expect(0, BYTES(0x40, 0xb7, 0x01, 0x55, 0xc3));       /* mov $1,%dil */
	expect(0, BYTES(0x48, 0xf7, 0xe2, 0x55, 0xc3));       /* mul %rdx changes %rdx */
	expect(0, BYTES(0x48, 0x83, 0xec, 0x08, 0x55, 0xc3)); /* sub $8,%rsp */
	expect(0, BYTES(0xf3, 0x48, 0xab, 0x55, 0xc3));       /* rep stos changes %rdi and %rcx */
	expect(0, BYTES(0x66, 0x0f, 0xef, 0xc0, 0x55, 0xc3)); /* pxor %xmm0,%xmm0 */
	expect(0, BYTES(0x48, 0x87, 0xfe, 0x55, 0xc3));       /* xchg %rdi,%rsi */
	expect(0, BYTES(0xff, 0xd0, 0x55, 0xc3));             /* call *%rax */
	expect(0, BYTES(0x0f, 0x05, 0x55, 0xc3));             /* syscall */
	expect(0, BYTES(0x0f, 0xa2, 0x55, 0xc3));             /* cpuid changes %rcx and %rdx */
	expect(0, BYTES(0xc3, 0x55, 0xc3));                   /* ret */
}

static void what_has_a_prefix_is_not_emulated(void **state)
{
	(void)state;
	expect(2, BYTES(0x66, 0x90, 0x55, 0xc3));                   /* xchg %ax,%ax; push; ret */
	expect(5, BYTES(0x0f, 0x1f, 0x44, 0x00, 0x00, 0x55, 0xc3)); /* a long nop; push; ret */
}

static void not_where_a_jump_leads_to(void **state)
{
	(void)state;
	expect(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xeb, 0xfc));       /* a loop back to the push */
	expect(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0x75, 0xfa, 0xc3)); /* a conditional one */
	expect(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xeb, 0xfa, 0xc3)); /* into what was passed over */
	expect(3, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xeb, 0xf9));       /* to the beginning: that is a call as any other */
	expect(3, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xeb, 0xfd));       /* behind it */
}

static void not_where_jumps_are_unknown(void **state)
{
	(void)state;
	expect(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xff, 0xe0));                         /* jmp *%rax */
	expect(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xff, 0x24, 0xc5, 0, 0, 0, 0));       /* a jump table */
	expect(3, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xff, 0x25, 0x00, 0x00, 0x00, 0x00)); /* through the GOT */
	expect(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x06));                                     /* no instruction */
}

/* Parts of a function may lie elsewhere: behind it, and before it. */
static void jumps_are_followed_out_of_the_function(void **state)
{
	(void)state;
	/* test; push; pop; jmp +1; | int3 | pop; jmp back to the push */
	expect_at(0, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xeb, 0x01, 0xcc, 0x5d, 0xeb, 0xf8), 0, 7);
	expect_at(3, BYTES(0x48, 0x85, 0xff, 0x55, 0x5d, 0xeb, 0x01, 0xcc, 0x5d, 0xc3), 0, 7);
	/* ret | pop; ret | test; push; jmp to the pop */
	expect_at(3, BYTES(0xc3, 0x5d, 0xc3, 0x48, 0x85, 0xff, 0x55, 0xeb, 0xf8), 3, 6);
	/* jmp to the push | test; push; jmp to the jmp */
	expect_at(0, BYTES(0xeb, 0x03, 0xcc, 0x48, 0x85, 0xff, 0x55, 0xeb, 0xf7), 2 + 1, 6);
	/* out of what can be read */
	expect_at(0, BYTES(0x48, 0x85, 0xff, 0x55, 0xeb, 0x40), 0, 6);
}

static void without_a_size_it_stays(void **state)
{
	(void)state;
	expect_at(0, BYTES(0x48, 0x85, 0xff, 0x55, 0xc3), 0, 0);
	expect_at(0, BYTES(0x48, 0x85, 0xff, 0x55, 0xc3), 0, 1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_emulated_beginning_stays),
		cmocka_unit_test(it_moves_behind_what_does_nothing_to_arguments),
		cmocka_unit_test(it_does_not_move_behind_what_changes_them),
		cmocka_unit_test(what_has_a_prefix_is_not_emulated),
		cmocka_unit_test(not_where_a_jump_leads_to),
		cmocka_unit_test(not_where_jumps_are_unknown),
		cmocka_unit_test(jumps_are_followed_out_of_the_function),
		cmocka_unit_test(without_a_size_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
