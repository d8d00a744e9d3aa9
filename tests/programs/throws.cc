// throws [N] - N calls (1000) that throw each second time, through frames that allocate, and C++ names for the report.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {
struct Order {
	std::vector<int> items;
	explicit Order(int n) : items(n, 7) {}
};
template <class T> __attribute__((noinline)) T *keep(int n)
{
	return new T(n);
}
__attribute__((noinline)) int check(int n)
{
	std::string text(100, 'x');
	if (n % 2)
		throw std::runtime_error("odd number " + std::to_string(n) + text);
	return n;
}
}

int main(int argc, char **argv)
{
	int caught = 0, calls = argc > 1 ? std::atoi(argv[1]) : 1000;
	for (int i = 0; i < calls; i++) {
		try {
			shop::check(i);
		} catch (const std::exception &e) {
			caught++;
		}
	}
	shop::keep<shop::Order>(1000);
	std::printf("throws ok %d\n", caught);
	return 0;
}
