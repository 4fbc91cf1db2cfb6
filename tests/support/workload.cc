#include "tests/support/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace candor::testing {
namespace {

using sim::Level;
using sim::Operation;
using sim::OperationKind;

// A skewed choice: of 16 keys the first is chosen every other time, the last once in sixty times.
const std::string& pick(const std::vector<std::string>& keys, Random& random) {
  const double u = random.unit();
  return keys[static_cast<std::size_t>(u * u * u * u * static_cast<double>(keys.size()))];
}

struct Asked {
  Level level;
  Duration bound{0};
};

Asked pick_level(Random& random) {
  constexpr std::array<Asked, 10> kMix = {{{Level::kSession},
                                           {Level::kSession},
                                           {Level::kSession},
                                           {Level::kBounded, 2s},
                                           {Level::kBounded, 2s},
                                           {Level::kBounded, 400ms},
                                           {Level::kStrong},
                                           {Level::kStrong},
                                           {Level::kEventual},
                                           {Level::kOrigin}}};
  return kMix[random.below(kMix.size())];
}

}  // namespace

Workload::Workload(Recorder* recorder, std::vector<Candord*> nodes,
                   std::function<std::unique_ptr<DirectWriter>()> connect, const WorkloadOptions& options)
    : recorder_(recorder), nodes_(std::move(nodes)), connect_(std::move(connect)), options_(options) {
  seed_ = options_.seed * 1000;
  any_ = make_keys("any", options_.keys_of_any);
  for (const Candord* node : nodes_) own_.push_back(make_keys(node->name(), options_.keys_of_each));
  sql_ = make_keys("sql", options_.keys_of_each);
  traveller_ = make_keys("travel", options_.keys_of_each);
}

Workload::~Workload() { stop(); }

Workload::Keys Workload::make_keys(const std::string& owner, int count) {
  Keys keys;
  for (int i = 0; i < count; ++i) keys.push_back(fmt::format("item:{}-{}", owner, i));
  keys_.insert(keys_.end(), keys.begin(), keys.end());
  return keys;
}

void Workload::start() {
  for (std::uint64_t s = 0; Candord * node : nodes_)
    for (int i = 0; i < options_.readers_of_each; ++i)
      readers_.emplace_back([this, node, seed = seed_ + 100 + ++s] { read_for_ever(node, seed); });
  start_writers();
}

void Workload::start_writers() {
  writing_ = true;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    writers_.emplace_back([this, i, s = ++seed_] { write_for_ever(nodes_[i], own_[i], s); });
  writers_.emplace_back([this, s = ++seed_] { write_directly_for_ever(sql_, s); });
  writers_.emplace_back([this, s = ++seed_] { travel_for_ever(traveller_, s); });
}

void Workload::stop_writers() {
  writing_ = false;
  for (std::thread& writer : writers_) writer.join();
  writers_.clear();
}

void Workload::stop() {
  stop_writers();
  reading_ = false;
  for (std::thread& reader : readers_) reader.join();
  readers_.clear();
}

std::vector<std::string> Workload::keys_with_extra() const {
  Keys all = keys_;
  for (std::size_t i = 0; i < extra_; ++i) all.push_back(fmt::format("item:extra-{}", i));
  return all;
}

std::vector<std::string> Workload::extra_keys(int count) {
  Keys keys;
  for (int i = 0; i < count; ++i) keys.push_back(fmt::format("item:extra-{}", i));
  extra_ = std::min<std::size_t>(keys.size(), 10);
  return keys;
}

void Workload::write_in_one_transaction(const std::vector<std::string>& keys, const std::string& more) {
  const auto writer = connect_();
  write_directly(*writer, keys, false, more);
}

void Workload::pause(Duration mean, Random& random) const {
  std::this_thread::sleep_for(
      Duration{static_cast<std::int64_t>(2 * random.unit() * static_cast<double>(mean.count()))});
}

void Workload::read_for_ever(Candord* node, std::uint64_t seed) {
  Random random(seed);
  Visitor visitor(recorder_, node, options_.patience);
  while (reading_) {
    pause(options_.read_pace, random);
    if (visitor.client() == nullptr) {  // the node is away
      pause(50ms, random);
      continue;
    }
    const Asked asked = pick_level(random);
    const std::size_t key = random.below(keys_.size() + extra_);
    const std::string name =
        key < keys_.size() ? keys_[key] : fmt::format("item:extra-{}", key - keys_.size());
    (void)visitor.read(name, asked.level, asked.bound);
  }
}

// Now and then it reads what it has written: the same session must see it.
void Workload::write_for_ever(Candord* node, const Keys& own, std::uint64_t seed) {
  Random random(seed);
  Visitor visitor(recorder_, node, options_.patience);
  std::set<std::string> erased;
  while (writing_) {
    pause(options_.write_pace, random);
    if (visitor.client() == nullptr) {
      pause(50ms, random);
      continue;
    }
    const bool is_own = random.below(2) == 0;
    const std::string& key = pick(is_own ? own : any_, random);
    if (is_own && random.below(8) == 0 && !erased.contains(key)) {
      (void)visitor.erase(key);
      erased.insert(key);
    } else {
      (void)visitor.write(key);
      erased.erase(key);
    }
    if (random.below(2) == 0) (void)visitor.read(key, Level::kSession);
    if (random.below(8) == 0) (void)visitor.read(key, Level::kStrong);
  }
}

void Workload::write_directly_for_ever(const Keys& own, std::uint64_t seed) {
  Random random(seed);
  auto writer = connect_();
  std::set<std::string> erased;
  while (writing_) {
    pause(options_.write_pace, random);
    Keys chosen{pick(random.below(2) == 0 ? own : any_, random)};
    const bool many = random.below(8) == 0;
    for (int i = 0; many && i < 4; ++i) chosen.push_back(pick(own, random));
    // One order for all transactions: two never wait for each other's rows.
    std::ranges::sort(chosen);
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    const bool may_erase = !chosen[0].starts_with("item:any") && !erased.contains(chosen[0]);
    const bool erases = may_erase && chosen.size() == 1 && random.below(8) == 0;
    for (const std::string& key : chosen) erases ? void(erased.insert(key)) : void(erased.erase(key));
    write_directly(*writer, chosen, erases);
  }
}

void Workload::write_directly(DirectWriter& writer, const Keys& chosen, bool erases,
                              const std::string& more) {
  std::vector<DirectWriter::Row> rows;
  std::vector<Operation> operations;
  const std::uint32_t session = recorder_->new_session();
  for (const std::string& key : chosen) {
    Operation op;
    op.kind = erases ? OperationKind::kErase : OperationKind::kWrite;
    op.session = session;
    op.node = recorder_->node("sql");
    op.key = recorder_->key(key);
    op.version = erases ? 0 : recorder_->new_version();
    rows.push_back({id_of(key), op.version});
    operations.push_back(op);
  }
  const std::int64_t invoked = Recorder::now();
  const auto outcome = writer.write(rows, more);
  const std::int64_t responded = Recorder::now();
  for (Operation& op : operations) {
    op.invoked = invoked;
    if (outcome != DirectWriter::Outcome::kUnknown) op.responded = responded;
    op.outcome = outcome == DirectWriter::Outcome::kOk        ? sim::Outcome::kOk
                 : outcome == DirectWriter::Outcome::kRefused ? sim::Outcome::kRefused
                                                              : sim::Outcome::kUnknown;
    recorder_->add(op);
  }
}

// Writes and reads at one node, takes a token, and reads on at another: a session that moves.
void Workload::travel_for_ever(const Keys& own, std::uint64_t seed) {
  Random random(seed);
  while (writing_) {
    pause(options_.travel_pace, random);
    const std::size_t from = random.below(nodes_.size());
    Visitor here(recorder_, nodes_[from], options_.patience);
    Visitor there(recorder_, nodes_[(from + 1) % nodes_.size()], options_.patience);
    if (here.client() == nullptr || there.client() == nullptr) {
      pause(50ms, random);
      continue;
    }
    const std::string& mine = pick(own, random);
    const std::string& other = keys_[random.below(keys_.size())];
    (void)here.write(mine);
    (void)here.read(other, Level::kSession);
    const auto token = here.take_token();
    if (!token || !there.adopt(*token)) continue;
    for (const std::string& key : {mine, other}) (void)there.read(key, Level::kSession);
    (void)there.read(mine, Level::kStrong);
  }
}

}  // namespace candor::testing
