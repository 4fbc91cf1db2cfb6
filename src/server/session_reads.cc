// The hit path of a connection: consecutive GETs of a chunk are looked up together, so that their cache
// misses overlap, and answered in order.
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

bool is_get(std::string_view name) {
  return name.size() == 3 && (name[0] | 0x20) == 'g' && (name[1] | 0x20) == 'e' && (name[2] | 0x20) == 't';
}

}  // namespace

// What would make a GET more than a lookup: then the ordinary path takes it.
bool Session::may_gather() const {
  return user_ != nullptr && user_->has(Right::kRead) && changes_ == 0 && token_ == nullptr && !trace_ &&
         (tracking_ == nullptr || (!tracking_->opt_in && !tracking_->opt_out)) && replies_ == Replies::kOn &&
         (channels_.empty() || protocol_ == resp::Protocol::kResp3) &&
         (patterns_.empty() || protocol_ == resp::Protocol::kResp3);
}

bool Session::gather(Args args) {
  if (args.size() != 2 || !is_get(args[0]) || !may_gather()) return false;
  ReadBatch& batch = loop_->batch;
  const ResolvedKey resolved = loop_->recent.resolve(server_.features(), args[1]);
  if (resolved.feature == nullptr || resolved.key.size() > kKeyBytesMax ||
      !user_->may_touch(resolved.feature->id()))
    return false;
  if (tracking_ != nullptr && !tracking_->broadcast) remember_read(resolved, args[1]);
  l1::Store::Lookup& lookup = batch.lookups[batch.size];
  lookup.feature = resolved.feature->id();
  lookup.key = resolved.key;
  lookup.hash = store().hash(lookup.feature, lookup.key);
  lookup.found = false;
  batch.features[batch.size] = resolved.feature;
  batch.needs_proof |= needs_proof(resolved.feature->policy().consistency);
  if (++batch.size == kReadBatchMax) answer_batch();
  return true;
}

void Session::answer_batch() {
  ReadBatch& batch = loop_->batch;
  if (batch.size == 0) return;
  const bool timed = ++loop_->batches % kHitSampleEvery == 0;
  const Clock& clock = *server_.context().clock;
  const MonoTime began = timed ? clock.now() : MonoTime{};
  const std::size_t size = batch.size;
  {
    const l1::Store::ReadGuard guard(store());
    answer_lookups(guard);
  }
  batch.size = 0;
  batch.needs_proof = false;
  if (timed)
    server_.counters().hit_ns.record(static_cast<std::uint64_t>((clock.now() - began).count()), size);
  if (output_is_full() || deferred_ >= server_.options().pending_max) stall();
}

void Session::answer_lookups(const l1::Store::ReadGuard& guard) {
  ReadBatch& batch = loop_->batch;
  const l1::Millis now = now_ms();
  if (batch.needs_proof) {
    const l1::Millis at = cache().now_ms();
    for (std::size_t i = 0; i < batch.size; ++i) batch.proofs[i] = cache().proof_of(*batch.features[i], at);
  }
  if (batch.size == 1) {
    l1::Store::Lookup& only = batch.lookups[0];
    only.found = store().find(guard, only.hash, only.feature, only.key, now, &only.view);
  } else {
    store().find_many(guard, std::span(batch.lookups).first(batch.size), now);
  }
  const Feature* counted = batch.features[0];
  std::uint64_t hits = 0;
  std::uint64_t negatives = 0;
  for (std::size_t i = 0; i < batch.size; ++i) {
    const l1::Store::Lookup& lookup = batch.lookups[i];
    const Feature& feature = *batch.features[i];
    if (&feature != counted) {
      cache().count_hits(*counted, hits, negatives);
      counted = &feature;
      hits = negatives = 0;
    }
    if (!lookup.found || !cache().may_serve(feature, lookup.key, lookup.view, now, batch.proofs[i])) {
      answer_miss(lookup, feature);
    } else if (lookup.view.meta.negative) {
      ++negatives;
      null();
    } else {
      ++hits;
      resp::write_bulk(out(), lookup.view.value);
      if (peer_->output().size() + places_.buffered_bytes() > server_.options().output_pause_bytes) {
        postpone_batch(i + 1);
        break;
      }
    }
  }
  cache().count_hits(*counted, hits, negatives);
}

void Session::answer_miss(const l1::Store::Lookup& lookup, const Feature& feature) {
  Target target{&feature, lookup.key, lookup.hash, server_.features().backing(feature)};
  if (target.backing == Backing::kPlainLocal) {
    cache().count_hits(feature, 0, 1);  // L1 is the authority here: its "absent" is an answer
    return null();
  }
  const std::string_view args[] = {"GET", lookup.key};
  running_ = args;
  const auto place = defer();
  running_ = {};
  read(target, {}, [place](Session& session, Result<ReadResult> result) {
    session.finish(place, [&](std::string& output) { session.write_value(output, result); });
  });
}

// Large values filled the output: the rest of the batch waits until it has left.
void Session::postpone_batch(std::size_t from) {
  ReadBatch& batch = loop_->batch;
  for (std::size_t i = from; i < batch.size; ++i) {
    std::string name = batch.features[i]->policy().name;
    name.append(1, ':').append(batch.lookups[i].key);
    waiting_.push_back({"GET", std::move(name)});
  }
  if (from < batch.size) stall();
}

void Session::write_value(std::string& output, const Result<ReadResult>& result) {
  if (!result) {
    server_.counters().command_errors.add();
    resp::write_error(output, reply_text(result.error()));
  } else if (result->value == nullptr) {
    resp::write_null(output, protocol_);
  } else {
    resp::write_bulk(output, *result->value);
  }
}

bool Session::hit(const l1::Store::ReadGuard& guard, const Target& target, CacheCore::Hit* out) {
  if (is_behind(*target.feature) ||
      !cache().try_hit(guard, *target.feature, target.hash, target.key, now_ms(), out))
    return false;
  cache().count_hits(*target.feature, out->negative ? 0 : 1, out->negative ? 1 : 0);
  return true;
}

bool Session::hit_at(const l1::Store::ReadGuard& guard, const Target& target,
                     const CacheCore::ReadOptions& options, CacheCore::Hit* out) {
  if (!cache().try_hit_at(guard, *target.feature, target.hash, target.key, now_ms(), options.level,
                          options.bound, out))
    return false;
  cache().count_hits(*target.feature, out->negative ? 0 : 1, out->negative ? 1 : 0);
  return true;
}

}  // namespace candor::server
