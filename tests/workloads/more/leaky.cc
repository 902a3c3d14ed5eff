// SPDX-License-Identifier: BSD-2-Clause
//
// Functions of C++ that keep what they allocate.
#include <cstdlib>

namespace {
void *volatile kept;
}

namespace shop {

class Cart {
public:
	__attribute__((noinline, noclone)) explicit Cart(int bytes)
	{
		kept = std::malloc(static_cast<size_t>(bytes));
		asm volatile("");
	}
	__attribute__((noinline, noclone)) void add(int bytes, const char *name)
	{
		kept = std::malloc(static_cast<size_t>(bytes));
		asm volatile("" : : "r"(name));
	}
	__attribute__((noinline, noclone)) void add(long bytes)
	{
		kept = std::malloc(static_cast<size_t>(bytes));
		asm volatile("");
	}
};

template <typename T> __attribute__((noinline, noclone)) void keep(T bytes)
{
	kept = std::malloc(static_cast<size_t>(bytes));
	asm volatile("");
}

} // namespace shop

int main()
{
	shop::Cart cart(3);

	for (int i = 0; i < 3; i++)
		cart.add(50 + i, "pear");
	for (int i = 0; i < 2; i++)
		cart.add(70L);
	shop::keep<int>(9);
	return 0;
}
