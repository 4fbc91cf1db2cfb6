#include "tier/l1/policy.h"

#include <array>
#include <string>
#include <utility>

#include "tier/l1/policy_lru.h"
#include "tier/l1/policy_rehearsal.h"
#include "tier/l1/policy_s3fifo.h"
#include "tier/l1/policy_sieve.h"
#include "tier/l1/policy_wtinylfu.h"

namespace candor::l1 {
namespace {

constexpr std::array<std::pair<PolicyKind, std::string_view>, 5> kPolicies{{
    {PolicyKind::kDefault, "default"},
    {PolicyKind::kS3Fifo, "s3fifo"},
    {PolicyKind::kSieve, "sieve"},
    {PolicyKind::kLru, "lru"},
    {PolicyKind::kWTinyLfu, "wtinylfu"},
}};

}  // namespace

std::unique_ptr<EvictionPolicy> make_policy(PolicyKind kind, std::uint64_t seed) {
  switch (kind) {
    case PolicyKind::kSieve:
      return std::make_unique<SievePolicy>();
    case PolicyKind::kLru:
      return std::make_unique<LruPolicy>();
    case PolicyKind::kDefault:
      return std::make_unique<RehearsalPolicy>(seed);
    case PolicyKind::kWTinyLfu:
      return std::make_unique<WTinyLfuPolicy>(seed);
    case PolicyKind::kS3Fifo:
      break;
  }
  return std::make_unique<S3FifoPolicy>();
}

std::string_view policy_name(PolicyKind kind) {
  for (const auto& [known, name] : kPolicies) {
    if (known == kind) return name;
  }
  return "unknown";
}

Result<PolicyKind> parse_policy(std::string_view name) {
  for (const auto& [kind, known] : kPolicies) {
    if (known == name) return kind;
  }
  return fail(ErrorCode::kInvalidArgument, "unknown eviction policy \"" + std::string(name) +
                                               "\": use default, s3fifo, sieve, lru or wtinylfu");
}

}  // namespace candor::l1
