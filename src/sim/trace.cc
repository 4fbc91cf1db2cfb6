#include "sim/trace.h"

#include <fmt/format.h>

namespace candor::sim {

void Trace::write(TrueTime at, std::string_view where, std::string_view what, std::uint64_t a,
                  std::uint64_t b) const {
  sink_(fmt::format("{:>16.6f} ms  {:<12} {} {} {}", static_cast<double>(at.ns) / 1e6, where, what, a, b));
}

}  // namespace candor::sim
