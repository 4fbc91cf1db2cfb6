#include "tier/disk/disk_tier.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/assert.h"
#include "base/random.h"
#include "version/mutant.h"

namespace candor::disk {

namespace {

// Enough keys to remember an eviction for as long as the disk would hold the entry; 16 MiB at most.
std::size_t sketch_entries(std::uint64_t disk_bytes) {
  constexpr std::uint64_t kLeast = 1 << 16, kMost = 1 << 22;
  return static_cast<std::size_t>(std::clamp(disk_bytes / 1024, kLeast, kMost));
}

}  // namespace

DiskTier::DiskTier(World world, Options options, std::shared_ptr<ByteStore> store)
    : world_(std::move(world)),
      options_(options),
      store_(std::move(store)),
      forgotten_({}, mix64(world_.seed)),
      admission_(sketch_entries(options.disk_bytes), options.write_rate, world_.clock->now()),
      presence_(options.disk_bytes, 1, false) {
  Result<std::string> mark = store_->take_mark();
  if (mark && !mark->empty() && options_.keeps_over_restart) {
    take_over(*mark);
  } else {
    begin_anew();
  }
  usage_ = store_->usage();
}

DiskTier::~DiskTier() { *alive_ = false; }

void DiskTier::take_over(std::string_view mark) {
  std::optional<Life> before = decode_life(mark);
  if (before) before = resume(std::move(*before), {options_.boot, world_.clock->now(), world_.clock->wall()});
  if (!before) return begin_anew();
  life_ = std::move(*before);
  first_of_run_ = life_.next_sequence;
  const MutexLock lock(mutex_);
  sequence_ = first_of_run_;
  presence_ = Presence(options_.disk_bytes, first_of_run_, true);
}

void DiskTier::begin_anew() {
  life_ = Life{};
  if (const Result<void> cleared = store_->clear(); !cleared) go_off(cleared.error().message);
}

void DiskTier::add_feature(std::string name, std::uint64_t fingerprint, bool is_held) {
  FeatureState state;
  if (const auto before = life_.features.find(name); before != life_.features.end())
    state.life = before->second;
  const bool is_same = is_held && state.life.fingerprint == fingerprint;
  if (!is_same) state.life.floor = first_of_run_;
  state.life.fingerprint = fingerprint;
  state.name = std::move(name);
  state.is_held = is_held;
  features_.push_back(std::move(state));
}

// ---- what goes to the disk ----

void DiskTier::on_evicted(FeatureId feature, l1::KeyHash hash, std::string_view key,
                          const l1::EntryView& view) noexcept {
  if (feature.value >= features_.size()) return;
  const FeatureState& state = features_[feature.value];
  if (!state.is_held || view.meta.negative) return;
  if ((view.meta.user_flags & (options_.held_flag | options_.never_flags)) != 0) return;
  bool wakes = false;
  {
    const MutexLock lock(mutex_);
    // Under the lock: what is queued while the tier is off would miss what is forgotten meanwhile.
    if (is_off_.load(std::memory_order_relaxed)) return;
    const std::size_t bytes = state.name.size() + 1 + key.size() + view.value.size() + kRecordHeadBytes;
    if (view.value.size() > kValueBytesMax) {
      ++too_large_;
      return;
    }
    if (queue_bytes_ + bytes > kQueueBytesMax) {
      ++queue_full_;
      return;
    }
    switch (admission_.judge(hash.value, bytes, world_.clock->now())) {
      case Admission::Verdict::kTooCold:
        ++too_cold_;
        return;
      case Admission::Verdict::kOverBudget:
        ++over_budget_;
        return;
      case Admission::Verdict::kAdmitted:
        break;
    }
    Op op;
    op.feature = feature;
    op.name.reserve(state.name.size() + 1 + key.size());
    op.name.append(state.name).append(1, ':').append(key);
    op.sequence = sequence_++;
    op.record.emplace();
    op.record->value = view.value;
    op.record->meta = view.meta;
    presence_.add(hash.value, op.sequence, bytes);
    push(std::move(op), &wakes);
  }
  if (wakes) wake();
}

void DiskTier::push(Op op, bool* wakes) {
  queue_bytes_ += op.bytes();
  queue_.push_back(std::move(op));
  *wakes = !std::exchange(is_woken_, true);
}

void DiskTier::wake() {
  world_.home->post([this, alive = alive_] {
    if (*alive) drain();
  });
}

// While a write is under way the next batch gathers.
void DiskTier::drain() {
  if (is_writing_ || is_off_.load(std::memory_order_relaxed)) return;
  Batch batch;
  {
    const MutexLock lock(mutex_);
    batch.swap(queue_);
    queue_bytes_ = 0;
    is_woken_ = false;
  }
  if (batch.empty()) return;
  for (Op& op : batch) {
    if (!op.record) continue;
    op.record->sequence = op.sequence;
    op.record->boot = options_.boot;
    const std::string_view key =
        std::string_view(op.name).substr(features_[op.feature.value].name.size() + 1);
    if (is_dropped_ && is_dropped_(op.feature, key, op.record->meta.loaded_at)) {
      op.record.reset();
      continue;
    }
    if (history_of_) op.record->history = history_of_(op.feature, op.record->meta.loaded_at);
  }
  write(std::move(batch));
}

std::vector<ByteStore::Op> DiskTier::encode(const Batch& batch) {
  std::vector<ByteStore::Op> ops;
  ops.reserve(batch.size());
  // Of one name the last one counts.
  std::unordered_map<std::string_view, std::size_t> last;
  for (const Op& op : batch) {
    ByteStore::Op coded;
    coded.name = op.name;
    if (op.record) coded.bytes = encode_record(op.name, *op.record);
    if (const auto [at, is_new] = last.emplace(op.name, ops.size()); !is_new) {
      ops[at->second] = std::move(coded);
    } else {
      ops.push_back(std::move(coded));
    }
  }
  return ops;
}

void DiskTier::write(Batch batch) {
  is_writing_ = true;
  auto work = [this, alive = alive_, store = store_, home = world_.home, batch = std::move(batch)]() mutable {
    Result<void> result = store->write(encode(batch));
    home->post([this, alive, batch = std::move(batch), result = std::move(result), usage = store->usage()] {
      if (!*alive) return;
      usage_ = usage;
      written(batch, result);
    });
  };
  world_.pool->run(std::move(work));
}

void DiskTier::written(const Batch& batch, const Result<void>& result) {
  is_writing_ = false;
  if (!result) return go_off(result.error().message);
  for (const Op& op : batch) {
    if (op.record) {
      ++stats_.demoted;
    } else {
      ++stats_.removals;
      settled_.push_back({op.name, op.sequence, mutant(Mutant::kDiskReadOutlives) ? 0 : next_read_});
    }
  }
  end_read(0);
  drain();
}

void DiskTier::end_read(std::uint64_t number) {
  reading_.erase(number);
  const std::uint64_t oldest = reading_.empty() ? next_read_ : *reading_.begin();
  while (!settled_.empty() && settled_.front().after <= oldest) {
    forgotten_.removed(settled_.front().name, settled_.front().sequence);
    settled_.pop_front();
  }
}

// ---- a disk that fails ----

// Nothing that is there is believed any more: a removal may have been lost with the write that failed.
void DiskTier::go_off(const std::string& why) {
  if (!is_off_.exchange(true, std::memory_order_relaxed) && world_.tell)
    world_.tell(true, "the disk tier is off: " + why + "; reads go on without it");
  ++stats_.errors;
  stats_.off = why;
  forget_all();
  world_.home->schedule(world_.home->now() + kRetryEvery, [this, alive = alive_] {
    if (*alive && !is_closed_) try_again();
  });
}

void DiskTier::try_again() {
  is_writing_ = true;
  world_.pool->run([this, alive = alive_, store = store_, home = world_.home] {
    Result<void> cleared = store->clear();
    home->post([this, alive, cleared = std::move(cleared)] {
      if (!*alive) return;
      is_writing_ = false;
      if (!cleared) return go_off(cleared.error().message);
      stats_.off.clear();
      forget_all();
      is_off_.store(false, std::memory_order_relaxed);
      if (world_.tell) world_.tell(false, "the disk tier is on again, and empty");
      drain();
    });
  });
}

// ---- what may not be served ----

std::uint64_t DiskTier::next_sequence() {
  const MutexLock lock(mutex_);
  return sequence_++;
}

void DiskTier::forget(FeatureId feature, l1::KeyHash hash, std::string_view name) {
  if (is_off_.load(std::memory_order_relaxed)) return;
  bool wakes = false;
  bool has_room = true;
  {
    const MutexLock lock(mutex_);
    if (!presence_.may_hold(hash.value)) return;
    Op op;
    op.feature = feature;
    op.name = name;
    op.sequence = sequence_++;
    has_room = queue_.size() < kOpsMax && forgotten_.add(name, op.sequence);
    if (has_room) push(std::move(op), &wakes);
  }
  if (!has_room) return forget_feature(feature);
  if (wakes) wake();
}

void DiskTier::forget_feature(FeatureId feature) {
  if (feature.value < features_.size()) features_[feature.value].life.floor = next_sequence();
}

void DiskTier::forget_all() {
  const MutexLock lock(mutex_);
  life_.floor = sequence_++;
  presence_.clear(sequence_);
  // Removals that wait are of records below the floor.
  queue_.clear();
  queue_bytes_ = 0;
  forgotten_.clear();
  settled_.clear();
}

void DiskTier::keep_for_this_run(FeatureId feature) {
  if (feature.value < features_.size()) features_[feature.value].life.kept_from = next_sequence();
}

bool DiskTier::is_served(FeatureId feature, std::string_view name, std::uint64_t sequence) const {
  if (sequence < life_.floor || sequence < features_[feature.value].life.floor) return false;
  if (forgotten_.covers(name, sequence)) return false;
  const MutexLock lock(mutex_);
  return sequence >= presence_.floor();
}

bool DiskTier::is_current(FeatureId feature, std::string_view name, const Hit& hit) const {
  return !is_off_.load(std::memory_order_relaxed) && is_served(feature, name, hit.sequence);
}

// ---- reading ----

DiskTier::Found DiskTier::read(ByteStore& store, const std::string& name) {
  Found found;
  found.answered = true;
  Result<std::optional<std::string>> bytes = store.get(name);
  if (!bytes) {
    found.is_corrupt = true;
  } else if (*bytes) {
    found.record = decode_record(name, **bytes);
    found.is_corrupt = !found.record;
  }
  return found;
}

Task<std::optional<Hit>> DiskTier::get(FeatureId feature, l1::KeyHash hash, std::string name) {
  if (is_off_.load(std::memory_order_relaxed) || is_closed_ || feature.value >= features_.size() ||
      !features_[feature.value].is_held)
    co_return std::nullopt;
  {
    const MutexLock lock(mutex_);
    if (!presence_.may_hold(hash.value)) {
      ++stats_.absent;
      co_return std::nullopt;
    }
  }
  if (reads_ >= kReadsMax) {
    ++stats_.busy;
    co_return std::nullopt;
  }
  ++reads_;
  const std::uint64_t number = next_read_++;
  reading_.insert(number);
  OneShot<Found> shot;
  auto work = [this, alive = alive_, store = store_, home = world_.home, name, shot] {
    Found found = read(*store, name);
    home->post([this, alive, shot, found = std::move(found)]() mutable {
      if (*alive) --reads_;
      (void)shot.set(std::move(found));
    });
  };
  world_.pool->run(std::move(work));
  const TimerId timer =
      world_.home->schedule(world_.home->now() + kReadPatience, [shot] { (void)shot.set(Found{}); });
  const std::shared_ptr<bool> alive = alive_;
  Found found = co_await shot;
  if (!*alive) co_return std::nullopt;
  world_.home->cancel(timer);
  std::optional<Hit> hit = judged(feature, hash, name, std::move(found));
  end_read(number);
  co_return hit;
}

std::optional<Hit> DiskTier::judged(FeatureId feature, l1::KeyHash hash, const std::string& name,
                                    Found found) {
  if (!found.answered) {
    ++stats_.slow;
    return std::nullopt;
  }
  if (found.is_corrupt) {
    ++stats_.corrupt;
    forget(feature, hash, name);
    return std::nullopt;
  }
  if (!found.record) {
    ++stats_.misses;
    return std::nullopt;
  }
  return judge(feature, name, std::move(*found.record));
}

// Moves the times of a record of an earlier boot to this one's clock. False: nobody knows how old it is.
bool DiskTier::dates(Record* record) const {
  if (record->boot == options_.boot) return true;
  const auto boot = std::ranges::find(life_.boots, record->boot, &Life::Boot::boot);
  if (boot == life_.boots.end()) return false;
  record->meta.loaded_at += boot->shift_ms;
  // 0 would mean "never".
  if (record->meta.expires_at != 0)
    record->meta.expires_at = std::max<l1::Millis>(1, record->meta.expires_at + boot->shift_ms);
  return true;
}

std::optional<Hit> DiskTier::judge(FeatureId feature, std::string_view name, Record record) {
  const l1::Millis now = world_.clock->now().ms();
  if (!is_served(feature, name, record.sequence)) {
    ++stats_.forgotten;
    return std::nullopt;
  }
  if (!dates(&record) || (record.meta.expires_at != 0 && record.meta.expires_at <= now) ||
      record.meta.loaded_at > now) {
    ++stats_.misses;
    return std::nullopt;
  }
  ++stats_.hits;
  Hit hit;
  hit.value = std::move(record.value);
  hit.meta = record.meta;
  hit.sequence = record.sequence;
  hit.history = record.history;
  hit.is_of_earlier_run = record.sequence < first_of_run_;
  const MutexLock lock(mutex_);
  hit.is_old = record.sequence < presence_.old_below();
  return hit;
}

// ---- the end ----

bool DiskTier::is_idle() const {
  if (is_writing_ || reads_ > 0) return false;
  const MutexLock lock(mutex_);
  return queue_.empty() || is_off_.load(std::memory_order_relaxed);
}

void DiskTier::close() {
  if (std::exchange(is_closed_, true) || is_off_.load(std::memory_order_relaxed) || !is_idle()) return;
  life_.end = {options_.boot, world_.clock->now(), world_.clock->wall()};
  life_.next_sequence = next_sequence();
  {
    // What is below it was not looked for any more when it was to be forgotten.
    const MutexLock lock(mutex_);
    life_.floor = std::max(life_.floor, presence_.floor());
  }
  life_.features.clear();
  for (const FeatureState& feature : features_)
    if (feature.is_held) life_.features[feature.name] = feature.life;
  is_off_.store(true, std::memory_order_relaxed);
  const Result<void> stopped = store_->stop(encode_life(life_));
  if (!stopped && world_.tell)
    world_.tell(true, "the disk tier could not be closed, and will begin empty: " + stopped.error().message);
}

Stats DiskTier::stats() const {
  Stats out = stats_;
  out.disk_bytes = usage_.disk_bytes;
  out.disk_limit = options_.disk_bytes;
  out.written_bytes = usage_.written_bytes;
  const MutexLock lock(mutex_);
  out.memory_bytes = usage_.memory_bytes + presence_.memory_bytes() + admission_.memory_bytes() +
                     queue_bytes_ + forgotten_.memory_bytes();
  out.too_cold = too_cold_;
  out.over_budget = over_budget_;
  out.queue_full = queue_full_;
  out.too_large = too_large_;
  return out;
}

}  // namespace candor::disk
