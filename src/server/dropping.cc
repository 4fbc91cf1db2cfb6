// Commands that drop what is cached: from L2 and this node first, then from every node of the region. In this
// order: a node that has forgotten a value must not find it again in L2.
#include "server/dropping.h"

#include <algorithm>
#include <utility>

#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

// One command under way. Its parts end on the cache's home executor, one after the other.
struct Drop {
  std::shared_ptr<LoopState> loop;
  std::uint64_t session = 0;
  ReplyQueue::Place place{};
  RegionCommands* region = nullptr;
  Tracking* tracking = nullptr;
  std::vector<std::pair<FeatureId, std::string>> keys;  // whose changes are this session's own
  RegionWide what;
  DropAnswer answer;
  std::size_t left = 0;
  std::optional<Error> error;  // the first
};
using DropPtr = std::shared_ptr<Drop>;

void finish(const DropPtr& drop) {
  if (drop->tracking != nullptr) {
    for (const auto& [feature, key] : drop->keys) drop->tracking->end_change({feature, key}, drop->session);
  }
  drop->loop->with_session(drop->session, [drop](Session& back) {
    back.finish(drop->place, [&](std::string& out) {
      drop->error ? answer_error(back, out, reply_text(*drop->error)) : drop->answer(back, out);
    });
    back.completed();
  });
}

// The region is told even when L2 did not take it: fewer nodes then hold what is old.
void step(const DropPtr& drop, const Result<WriteResult>& result) {
  if (!result && !drop->error) drop->error = result.error();
  if (--drop->left > 0) return;
  if (drop->region == nullptr) return finish(drop);
  drop->region->forget(std::move(drop->what), [drop](const Result<void>& told) {
    if (!told && !drop->error) drop->error = told.error();
    finish(drop);
  });
}

DropPtr begin(Session& session, std::size_t parts, DropAnswer answer) {
  auto drop = std::make_shared<Drop>();
  drop->loop = session.loop().shared_from_this();
  drop->session = session.id();
  drop->place = session.defer_alone();
  drop->region = session.server().context().region;
  drop->answer = std::move(answer);
  drop->left = parts;
  return drop;
}

}  // namespace

void drop_keys(Session& session, std::span<const Target> targets) {
  const auto answer = [count = targets.size()](Session&, std::string& out) {
    resp::write_integer(out, static_cast<std::int64_t>(count));
  };
  const DropPtr drop = begin(session, targets.size(), answer);
  Tracking* tracking = session.server().context().tracking;
  if (tracking != nullptr && tracking->is_used()) drop->tracking = tracking;
  for (const Target& target : targets) {
    drop->what.names.push_back(target.feature->policy().name + ":" + std::string(target.key));
    if (drop->tracking == nullptr) continue;
    drop->keys.emplace_back(target.feature->id(), target.key);
    drop->tracking->begin_change({target.feature->id(), target.key}, session.id());
  }
  for (const Target& target : targets) {
    session.cache().invalidate(target.feature->id(), std::string(target.key),
                               [drop](const Result<WriteResult>& result) { step(drop, result); });
  }
}

void drop_feature(Session& session, std::optional<FeatureId> feature, DropAnswer answer) {
  const DropPtr drop = begin(session, 1, std::move(answer));
  drop->what.features.push_back(feature ? session.cache().feature(*feature).policy().name : "*");
  session.cache().flush(feature, [drop](const Result<WriteResult>& result) { step(drop, result); });
}

void drop_tag(Session& session, std::string_view tag) {
  const auto answer = [](Session&, std::string& out) { resp::write_integer(out, 1); };
  const DropPtr drop = begin(session, 1, answer);
  drop->what.tags.emplace_back(tag);
  session.cache().invalidate_tag(std::string(tag),
                                 [drop](const Result<WriteResult>& result) { step(drop, result); });
}

}  // namespace candor::server
