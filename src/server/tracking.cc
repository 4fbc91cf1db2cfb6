#include "server/tracking.h"

#include <algorithm>
#include <utility>

#include "cache/cache.h"
#include "server/session.h"

namespace candor::server {

// Its members are guarded by the table's lock.
class Tracking::Member {
 public:
  Member(Address who, Options how) : owner(std::move(who)), options(std::move(how)) {}
  [[nodiscard]] Push push(std::shared_ptr<const std::string> name) const {
    return Push{owner, options.redirect ? *options.redirect : owner, std::move(name), false};
  }
  const Address owner;
  Options options;
  bool active = true;
  bool holds = false;  // it may have read something since it was last told to drop everything
};

Tracking::Tracking(std::uint64_t seed, std::size_t keys_max)
    : keys_max_(keys_max), table_(0, Hash{seed}), changes_(0, Hash{seed}) {}
Tracking::~Tracking() = default;

Tracking::MemberPtr Tracking::join(Address owner, Options options) {
  auto member = std::make_shared<Member>(std::move(owner), std::move(options));
  MutexLock lock(mutex_);
  members_.push_back(member);
  members_count_.store(members_.size());
  return member;
}

void Tracking::change(const MemberPtr& member, Options options) {
  MutexLock lock(mutex_);
  member->options = std::move(options);
}

void Tracking::leave(const MemberPtr& member) {
  MutexLock lock(mutex_);
  member->active = false;
  std::erase(members_, member);
  members_count_.store(members_.size());
  if (!members_.empty()) return;
  by_age_.clear();
  table_.clear();
  readers_ = 0;
}

std::size_t Tracking::keys() {
  MutexLock lock(mutex_);
  return table_.size();
}

void Tracking::remember(const MemberPtr& member, KeyRef key, bool prefixed) {
  std::vector<Push> pushes;
  {
    MutexLock lock(mutex_);
    auto it = table_.find(key);
    if (it == table_.end()) {
      it = table_.emplace(OwnKey{key.feature, std::string(key.key)}, Entry{}).first;
      it->second.age = by_age_.insert(by_age_.end(), &it->first);
    }
    auto& readers = it->second.readers;
    auto known = std::ranges::find(readers, member, &Reader::member);
    if (known == readers.end()) {
      known = readers.insert(readers.end(), Reader{member});
      ++readers_;
    }
    (prefixed ? known->prefixed : known->bare) = true;
    member->holds = true;
    make_room(&pushes);
  }
  deliver(std::move(pushes));
}

void Tracking::make_room(std::vector<Push>* pushes) {
  while (table_.size() > keys_max_ || readers_ > keys_max_ * kReadersPerKey)
    tell_readers(table_.find(KeyRef(*by_age_.front())), std::nullopt, pushes);
}

void Tracking::tell_readers(Table::iterator entry, std::optional<std::uint64_t> skipped,
                            std::vector<Push>* pushes) {
  const KeyRef key = entry->first;
  std::shared_ptr<const std::string> bare;
  std::shared_ptr<const std::string> prefixed;
  const auto add = [&](const Reader& reader, std::shared_ptr<const std::string> name)
                       CANDOR_REQUIRES(mutex_) {
                         pushes->push_back(reader.member->push(std::move(name)));
                         pushes->back().own_change = changes_now(key, reader.member->owner.session);
                       };
  for (const auto& reader : entry->second.readers) {
    const Member& member = *reader.member;
    const bool is_skipped = member.options.no_loop && skipped == member.owner.session;
    if (!member.active || member.options.broadcast || is_skipped) continue;
    if (reader.bare && bare == nullptr) bare = std::make_shared<const std::string>(bare_name(key));
    if (reader.prefixed && prefixed == nullptr)
      prefixed = std::make_shared<const std::string>(prefixed_name(key));
    if (reader.bare) add(reader, bare);
    if (reader.prefixed) add(reader, prefixed);
  }
  readers_ -= entry->second.readers.size();
  by_age_.erase(entry->second.age);
  table_.erase(entry);
}

void Tracking::tell_broadcast(KeyRef key, std::optional<std::uint64_t> skipped, std::vector<Push>* pushes) {
  std::shared_ptr<const std::string> names[2];
  for (const auto& member : members_) {
    if (!member->options.broadcast) continue;
    if (member->options.no_loop && skipped == member->owner.session) continue;
    if (names[0] == nullptr) {
      names[0] = std::make_shared<const std::string>(bare_name(key));
      names[1] = std::make_shared<const std::string>(prefixed_name(key));
    }
    const auto& prefixes = member->options.prefixes;
    for (const auto& name : names) {
      if (!std::ranges::any_of(prefixes, [&](const auto& prefix) { return name->starts_with(prefix); }))
        continue;
      pushes->push_back(member->push(name));
      pushes->back().own_change = changes_now(key, member->owner.session);
      break;  // a key of the plain feature has two names: one is enough
    }
  }
}

bool Tracking::changes_now(KeyRef key, std::uint64_t session) {
  const auto it = changes_.find(key);
  return it != changes_.end() && std::ranges::find(it->second, session) != it->second.end();
}

void Tracking::begin_change(KeyRef key, std::uint64_t session) {
  MutexLock lock(mutex_);
  auto it = changes_.find(key);
  if (it == changes_.end())
    it = changes_.emplace(OwnKey{key.feature, std::string(key.key)}, std::vector<std::uint64_t>{}).first;
  it->second.push_back(session);
}

void Tracking::end_change(KeyRef key, std::uint64_t session) {
  MutexLock lock(mutex_);
  const auto it = changes_.find(key);
  if (it == changes_.end()) return;
  const auto one = std::ranges::find(it->second, session);
  if (one != it->second.end()) it->second.erase(one);
  if (it->second.empty()) changes_.erase(it);
}

void Tracking::on_change(KeyRef key, std::uint64_t session) {
  if (is_used()) tell(key, session, false);
}

// A change that a feed reports may be anybody's. One made through this node is a session's own if nobody else
// changes the key at the same time.
void Tracking::on_invalidate(KeyRef key, const char* cause) {
  if (!is_used()) return;
  tell(key, std::nullopt, std::string_view(cause) != "change");
}

void Tracking::on_doubtful(KeyRef key) {
  if (is_used()) tell(key, std::nullopt, false);
}

// Refused by a marker: the change is known here, and the origin still shows what was before it. Or a write of
// the key is under way, or it was dropped while the load ran.
void Tracking::on_fill(KeyRef key, Stamp /*stamp*/, FillOutcome outcome) {
  if (outcome == FillOutcome::kFenced) on_doubtful(key);
}

void Tracking::tell(KeyRef key, std::optional<std::uint64_t> writer, bool through_cache) {
  std::vector<Push> pushes;
  {
    MutexLock lock(mutex_);
    if (through_cache) {
      const auto it = changes_.find(key);
      if (it != changes_.end() && it->second.size() == 1) writer = it->second.front();
    }
    if (const auto it = table_.find(key); it != table_.end()) tell_readers(it, writer, &pushes);
    tell_broadcast(key, writer, &pushes);
  }
  deliver(std::move(pushes));
}

// A flush of everything is told to everybody, as Redis does; for one feature, those who read nothing since
// the last time are spared: a thousand features may become suspect in one turn.
void Tracking::on_invalidate_feature(std::optional<FeatureId> feature) {
  if (!is_used()) return;
  std::vector<Push> pushes;
  {
    MutexLock lock(mutex_);
    for (const auto& member : members_) {
      if (!feature || member->holds || member->options.broadcast) pushes.push_back(member->push(nullptr));
      member->holds = false;
    }
    by_age_.clear();
    table_.clear();
    readers_ = 0;
  }
  deliver(std::move(pushes));
}

std::string Tracking::bare_name(KeyRef key) const { return names_->full_name(key.feature, key.key); }

std::string Tracking::prefixed_name(KeyRef key) const {
  return cache_->feature(key.feature).policy().name + ":" + std::string(key.key);
}

// Posted even to the loop that runs now: a push comes after the reply to the command that caused it.
void Tracking::deliver(std::vector<Push> pushes) {
  std::vector<std::pair<std::shared_ptr<LoopState>, std::vector<Push>>> by_loop;
  for (auto& push : pushes) {
    auto it = std::ranges::find_if(by_loop, [&](const auto& one) { return one.first == push.receiver.loop; });
    if (it == by_loop.end()) it = by_loop.insert(it, {push.receiver.loop, {}});
    it->second.push_back(std::move(push));
  }
  for (auto& [loop, batch] : by_loop) {
    loop->executor().post([target = loop, list = std::move(batch)] {
      for (const auto& push : list) {
        if (Session* session = target->find(push.receiver.session)) {
          session->push_invalidation(push);
        } else if (push.receiver.session != push.owner.session) {
          push.owner.loop->with_session(push.owner.session,
                                        [](Session& owner) { owner.redirect_is_broken(); });
        }
      }
    });
  }
}

}  // namespace candor::server
