// Checks of things that cannot happen. They stay in release builds: a broken invariant in a cache is a lie
// told to a reader, and a crash is better than a lie.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace candor::detail {
[[noreturn]] inline void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, expression);
  std::abort();
}
}  // namespace candor::detail

#define CANDOR_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::candor::detail::assert_failed(#expression, __FILE__, __LINE__))
