#include "sim/shared_tier.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>

#include "version/mutant.h"

namespace candor::sim {
namespace {

constexpr Duration kCommandTimeout = 500ms;  // the Redis client's
constexpr Duration kDumpPeriod = 5s;
constexpr std::size_t kDumpsKept = 12;

std::uint64_t version_of(const std::string& value) {
  std::uint64_t version = kAbsent;
  std::from_chars(value.data(), value.data() + value.size(), version);
  return version;
}

}  // namespace

void SharedTier::tell(const std::string& what, std::uint64_t number) const {
  if (world_.trace().has_sink()) world_.trace().tell(world_.now(), process_.name(), what, number);
}

SharedTier::SharedTier(World& world, Network& network, Process& process, History* history)
    : world_(world),
      process_(process),
      place_(network.add_place(process.name(), process)),
      history_(history),
      random_(world.stream("shared tier " + process.name())) {
  process_.set_life({.start = [this] { take_dumps(); }, .stop = {}, .destroy = {}});
}

void SharedTier::take_dumps() {
  dumps_.push_back({world_.now(), data_});
  if (dumps_.size() > kDumpsKept) dumps_.pop_front();
  process_.schedule(process_.now() + kDumpPeriod, [this, life = process_.life()] {
    if (process_.is_up() && process_.life() == life) take_dumps();
  });
}

// With what has ended taken away. Null: nothing is there.
SharedTier::Node* SharedTier::find(const std::string& key) {
  const auto found = data_.nodes.find(key);
  if (found == data_.nodes.end()) return nullptr;
  Node& node = found->second;
  const MonoTime now = process_.now();
  if (node.entry && node.expires_at <= now) node.entry.reset();
  if (node.token != 0 && node.lease_until <= now) end_lease(node);
  if (!node.marker.empty() && node.marker_until <= now) node.marker = Marker{};
  return &node;
}

void SharedTier::drop_if_empty(const std::string& key) {
  const Node* node = find(key);
  if (node != nullptr && !node->entry && node->token == 0 && node->marker.empty()) data_.nodes.erase(key);
}

void SharedTier::end_lease(Node& node) {
  if (std::exchange(node.token, 0) == 0) return;
  LeaseSpan& span = history_->leases[node.lease_span];
  if (span.ended == kNever) span.ended = world_.now().ns;
}

L2Entry SharedTier::read(const Node& node) const {
  L2Entry entry = *node.entry;
  const MonoTime now = process_.now();
  entry.age += now - node.stored_at;
  entry.ttl_left = node.expires_at == MonoTime::max() ? 0s : node.expires_at - now;
  return entry;
}

L2Lookup SharedTier::get_or_lease(const std::string& key, Duration lease_ttl, bool refresh) {
  L2Lookup answer;
  answer.l2 = data_.state;
  Node* node = find(key);
  const bool any_generation = mutant(Mutant::kL2GenerationIgnored);
  if (node != nullptr && node->entry && node->entry->generation != data_.state.generation && !any_generation)
    node->entry.reset();
  if (node != nullptr && node->entry && !refresh) {
    answer.state = L2Lookup::State::kHit;
    answer.entry = read(*node);
    tell("hit " + key, version_of(node->entry->value));
    return answer;
  }
  if (node == nullptr) node = &data_.nodes[key];
  if (node->token != 0) return answer;  // kBusy
  node->token = random_() | 1;
  node->lease_until = process_.now() + lease_ttl;
  node->lease_span = history_->leases.size();
  history_->leases.push_back({history_->keys.number(key), node->token, world_.now().ns, kNever});
  answer.state = L2Lookup::State::kLease;
  answer.token.value = node->token;
  return answer;
}

std::optional<L2Entry> SharedTier::get(const std::string& key) {
  const Node* node = find(key);
  if (node == nullptr || !node->entry) return std::nullopt;
  return read(*node);
}

L2FillVerdict SharedTier::fill(const std::string& key, LeaseToken token, L2Entry entry) {
  Node* node = find(key);
  const bool holds = node != nullptr && node->token != 0 && node->token == token.value;
  if (!holds && !mutant(Mutant::kLeaseIgnored)) return L2FillVerdict::kLeaseLost;
  if (node == nullptr) node = &data_.nodes[key];
  if (holds) end_lease(*node);
  if (!node->marker.passed_by(entry.stamp)) return L2FillVerdict::kMarkerNewer;
  if (entry.generation != data_.state.generation && !mutant(Mutant::kL2GenerationIgnored))
    return L2FillVerdict::kLeaseLost;
  if (node->marker.passed_by(entry.stamp.bound())) node->marker = Marker{};
  tell("fill " + key, version_of(entry.value));
  put(key, std::move(entry));
  return L2FillVerdict::kStored;
}

void SharedTier::release(const std::string& key, LeaseToken token) {
  Node* node = find(key);
  if (node != nullptr && node->token == token.value) end_lease(*node);
  drop_if_empty(key);
}

void SharedTier::put(const std::string& key, L2Entry entry) {
  Node& node = data_.nodes[key];
  node.stored_at = process_.now();
  node.expires_at = entry.ttl_left > 0s ? node.stored_at + entry.ttl_left : MonoTime::max();
  node.entry = std::move(entry);
}

bool SharedTier::invalidate(const std::string& key, L2Marker marker) {
  tell("invalidate " + key, marker.change.value);
  Node* node = find(key);
  const bool existed = node != nullptr && node->entry.has_value();
  if (node != nullptr) {
    node->entry.reset();
    end_lease(*node);
  }
  if (marker.change.value != 0 && marker.hold > 0s) {
    if (node == nullptr) node = &data_.nodes[key];
    node->marker.add(marker.change);
    node->marker_until = std::max(node->marker_until, process_.now() + marker.hold);
  }
  drop_if_empty(key);
  return existed;
}

Result<L2State> SharedTier::advance(L2State at_least) {
  if (data_.state < at_least) return fail(ErrorCode::kCorrupt, "this tier knows less than it was told");
  ++data_.state.told;
  return data_.state;
}

L2State SharedTier::raise_generation(L2State at_least) {
  data_.state = std::max(data_.state, at_least);
  ++data_.state.generation;
  ++data_.state.told;
  return data_.state;
}

void SharedTier::hold_marker(const std::string& key, ChangeId change, Duration hold) {
  Node* node = find(key);
  if (node == nullptr || node->marker.empty()) return;
  const MonoTime until = process_.now() + hold;
  if (until > node->marker_until || node->marker == Marker(change)) node->marker_until = until;
}

void SharedTier::clear(const std::string& prefix) {
  for (auto& [key, node] : data_.nodes) {
    end_lease(node);
    if (key.starts_with(prefix)) node.entry.reset();
  }
}

// ---- faults ----

void SharedTier::forget_everything() {
  world_.faults().plan("shared tier forgets");
  if (!data_.nodes.empty()) world_.faults().take_effect("shared tier forgets");
  world_.trace().note(world_.now(), process_.name(), "forgets", data_.nodes.size());
  for (auto& [key, node] : data_.nodes) end_lease(node);
  data_ = Data{};
}

void SharedTier::restore_old(Random& random) {
  if (dumps_.empty()) return;
  world_.faults().plan("shared tier restored");
  world_.faults().take_effect("shared tier restored");
  ++restores_;
  for (auto& [key, node] : data_.nodes) end_lease(node);
  data_ = dumps_[random.below(dumps_.size())].data;
  // Leases of the dump were ended when it was young; Redis' restart ends connections, not what scripts
  // stored.
  for (auto& [key, node] : data_.nodes) node.token = 0;
  world_.trace().note(world_.now(), process_.name(), "is restored", data_.nodes.size());
}

std::vector<SharedTier::Held> SharedTier::holdings() {
  std::vector<Held> held;
  std::vector<std::string> keys;
  for (const auto& [key, node] : data_.nodes) keys.push_back(key);
  for (const auto& key : keys) {
    const Node* node = find(key);
    if (node == nullptr || !node->entry || node->entry->generation != data_.state.generation) continue;
    held.push_back({key, version_of(node->entry->value)});
  }
  return held;
}

// ---- the client ----

template <class T, class Command>
Task<Result<T>> SharedTierClient::ask(Command command) {
  const MonoTime deadline = network_.process(node_).now() + kCommandTimeout;
  // Not a coroutine with captures: what runs there returns a finished task.
  struct Numbered {
    std::uint64_t life = 0;
    Result<T> value;
  };
  struct Steps {
    static Task<Result<Numbered>> ready(Numbered value) { co_return Result<Numbered>(std::move(value)); }
    static Task<Result<T>> take(Task<Result<Numbered>> asked, std::shared_ptr<std::uint64_t> connection) {
      Result<Numbered> answer = co_await asked;
      if (!answer) co_return std::unexpected(std::move(answer.error()));
      *connection = answer->life;
      co_return std::move(answer->value);
    }
  };
  typename Network::Serve<Numbered> serve = [tier = &tier_, command = std::move(command)]() mutable {
    return Steps::ready(Numbered{tier->life(), command(*tier)});
  };
  return Steps::take(network_.call<Numbered>(node_, tier_.place(), std::move(serve), deadline), connection_);
}

// A command without an answer but that it was done.
template <class Command>
Task<Result<void>> SharedTierClient::tell(Command command) {
  struct Then {
    static Task<Result<void>> drop(Task<Result<std::monostate>> asked) {
      const Result<std::monostate> done = co_await asked;
      if (!done) co_return std::unexpected(done.error());
      co_return Result<void>{};
    }
  };
  return Then::drop(ask<std::monostate>([command = std::move(command)](SharedTier& tier) mutable {
    command(tier);
    return Result<std::monostate>();
  }));
}

Task<Result<L2Lookup>> SharedTierClient::get_or_lease(std::string key, Duration lease_ttl, bool refresh) {
  return ask<L2Lookup>([key = std::move(key), lease_ttl, refresh](SharedTier& tier) {
    return Result<L2Lookup>(tier.get_or_lease(key, lease_ttl, refresh));
  });
}
Task<Result<std::optional<L2Entry>>> SharedTierClient::get(std::string key) {
  return ask<std::optional<L2Entry>>(
      [key = std::move(key)](SharedTier& tier) { return Result<std::optional<L2Entry>>(tier.get(key)); });
}
Task<Result<L2FillVerdict>> SharedTierClient::fill(std::string key, LeaseToken token, L2Entry entry) {
  return ask<L2FillVerdict>(
      [key = std::move(key), token, entry = std::move(entry)](SharedTier& tier) mutable {
        return Result<L2FillVerdict>(tier.fill(key, token, std::move(entry)));
      });
}
Task<Result<void>> SharedTierClient::release(std::string key, LeaseToken token) {
  return tell([key = std::move(key), token](SharedTier& tier) { tier.release(key, token); });
}
Task<Result<void>> SharedTierClient::put(std::string key, L2Entry entry) {
  return tell([key = std::move(key), entry = std::move(entry)](SharedTier& tier) mutable {
    tier.put(key, std::move(entry));
  });
}
// Plain features are not simulated: they have no origin to disagree with.
Task<Result<L2Seen>> SharedTierClient::look(std::string /*key*/) {
  co_return fail(ErrorCode::kInternal, "the simulated tier has no plain values");
}
Task<Result<L2Swap>> SharedTierClient::swap(std::string /*key*/, std::string /*mark*/,
                                            std::optional<L2Entry> /*entry*/, bool /*keep_ttl*/) {
  co_return fail(ErrorCode::kInternal, "the simulated tier has no plain values");
}
Task<Result<bool>> SharedTierClient::invalidate(std::string key, L2Marker marker) {
  return ask<bool>([key = std::move(key), marker](SharedTier& tier) {
    return Result<bool>(tier.invalidate(key, marker));
  });
}
Task<Result<L2State>> SharedTierClient::state() {
  return ask<L2State>([](SharedTier& tier) { return Result<L2State>(tier.state()); });
}
Task<Result<L2State>> SharedTierClient::advance(L2State at_least) {
  return ask<L2State>([at_least](SharedTier& tier) { return tier.advance(at_least); });
}
Task<Result<L2State>> SharedTierClient::raise_generation(L2State at_least) {
  return ask<L2State>(
      [at_least](SharedTier& tier) { return Result<L2State>(tier.raise_generation(at_least)); });
}
Task<Result<void>> SharedTierClient::hold_marker(std::string key, ChangeId change, Duration hold) {
  return tell(
      [key = std::move(key), change, hold](SharedTier& tier) { tier.hold_marker(key, change, hold); });
}
Task<Result<void>> SharedTierClient::clear(std::string prefix) {
  return tell([prefix = std::move(prefix)](SharedTier& tier) { tier.clear(prefix); });
}

}  // namespace candor::sim
