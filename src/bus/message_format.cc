#include "bus/message_format.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <unordered_map>

#include "base/hash.h"

namespace candor {
namespace {

static_assert(std::endian::native == std::endian::little, "the checksum is written with memcpy");

constexpr std::string_view kMagic = "CDSM";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 6;
constexpr std::size_t kChecksumBytes = 8;
// Any constant will do; not 0, so that another program's XXH3 of the same bytes does not match by habit.
constexpr std::uint64_t kChecksumSeed = 0x4344534d2d763031ULL;
// Feature number, scope, id, position, time, key's length: each at least one byte.
constexpr std::size_t kChangeBytesMin = 6;

// ---- writing ----

class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_->push_back(static_cast<char>(value | 0x80));
    out_->push_back(static_cast<char>(value));
  }
  void signed_number(std::int64_t value) {  // zigzag: small numbers of both signs are short
    number((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void text(std::string_view text) {
    number(text.size());
    out_->append(text);
  }
  void name(std::string_view name) {
    fits_ = fits_ && name.size() <= kMessageNameBytesMax;
    text(name);
  }
  void refuse() { fits_ = false; }
  [[nodiscard]] bool fits() const { return fits_; }

 private:
  std::string* out_;
  bool fits_ = true;
};

// Structured bindings, so that a field that is added and not written here does not compile.
void write_change(Writer& out, const Change& change, std::size_t feature_number) {
  const auto& [feature, key, scope, id, position, committed] = change;
  out.number(feature_number);
  out.number(static_cast<std::uint64_t>(scope));
  out.number(id.value);
  out.number(position.value);
  out.signed_number(committed.ns);
  out.text(key);
}

// Behind what every version reads, and only when there is something to say: a node of a version before then
// takes the message for corrupt, which is a gap to it, and claims nothing of what it does not understand.
void write_tail(Writer& out, const std::vector<Unheard>& unheard, std::uint64_t break_id) {
  if (unheard.empty() && break_id == 0) return;
  out.number(unheard.size());
  if (unheard.size() > kUnheardMax) out.refuse();
  for (const Unheard& one : unheard) {
    out.name(one.feature);
    out.text(std::string_view{one.reason}.substr(0, kUnheardReasonBytesMax));
  }
  out.number(break_id);
}

void write(Writer& out, const message::Changes& m) {
  const auto& [origin, incarnation, up_to, l2_told, l2_generation, l2_told_count, replay_from, changes,
               unheard, break_id] = m;
  out.name(origin);
  out.number(incarnation.value);
  out.number(up_to.value);
  out.number(l2_told.value);
  out.number(l2_generation);
  out.number(l2_told_count);
  out.number(replay_from.value);
  std::unordered_map<std::string_view, std::size_t> numbers;
  std::vector<std::string_view> features;
  for (const Change& change : changes) {
    if (numbers.emplace(change.feature, features.size()).second) features.push_back(change.feature);
  }
  out.number(features.size());
  for (const std::string_view feature : features) out.name(feature);
  out.number(changes.size());
  for (const Change& change : changes) write_change(out, change, numbers[change.feature]);
  write_tail(out, unheard, break_id);
}

void write(Writer& out, const message::Floor& m) {
  const auto& [origin, feature, incarnation, from, reason, is_lost] = m;
  out.name(origin);
  out.name(feature);
  out.number(incarnation.value);
  out.number(from.value);
  out.text(std::string_view{reason}.substr(0, kMessageReasonBytesMax));
  if (is_lost) out.number(1);  // as write_tail()
}

void write(Writer& out, const message::Invalidate& m) {
  const auto& [request, node, names, feature, tag] = m;
  out.number(request);
  out.name(node);
  out.name(feature);
  out.text(tag);
  out.number(names.size());
  for (const std::string& name : names) out.text(name);
}

void write(Writer& out, const message::Applied& m) {
  const auto& [request, node] = m;
  out.number(request);
  out.name(node);
}

void write(Writer& out, const message::Presence& m) {
  const auto& [node, process, applied, leaving, l2_generation, l2_told_count, writes] = m;
  out.name(node);
  out.number(process);
  out.number(applied.value);
  out.number(leaving ? 1 : 0);
  out.number(l2_generation);
  out.number(l2_told_count);
  if (writes.empty()) return;  // as write_tail()
  if (writes.size() > kFeatureWritesMax) out.refuse();
  out.number(writes.size());
  for (const FeatureWrites& one : writes) {
    out.name(one.feature);
    out.number(one.changes_per_hour);
    out.number(one.waits ? 1 : 0);
    out.number(one.gather_ms);
  }
}

void write(Writer& out, const message::SelfTest& m) {
  const auto& [node, token] = m;
  out.name(node);
  out.number(token);
}

// ---- reading ----

// After the first thing that does not fit, everything reads as zero and nothing, and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) break;
      const auto byte = static_cast<std::uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;  // beyond 64 bits
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) {
        if (byte == 0 && shift > 0) break;  // one number has one form
        return value;
      }
    }
    return broken(0);
  }
  std::uint64_t number_up_to(std::uint64_t max) {
    const std::uint64_t value = number();
    return value <= max ? value : broken(0);
  }
  // Elements that follow, each of at least `bytes_min`: never more than there is room for.
  std::size_t count(std::size_t bytes_min) { return number_up_to(bytes_.size() / bytes_min); }
  std::int64_t signed_number() {
    const std::uint64_t value = number();
    return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  std::string text(std::size_t max) {
    const std::uint64_t size = number();
    if (size > max || size > bytes_.size()) {
      broken(0);
      return {};
    }
    std::string out(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return out;
  }
  std::string text() { return text(kMessageBytesMax); }
  std::string name() { return text(kMessageNameBytesMax); }
  void refuse() { broken(0); }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool is_at_end() const { return ok_ && bytes_.empty(); }

 private:
  std::uint64_t broken(std::uint64_t value) {
    ok_ = false;
    bytes_ = {};
    return value;
  }
  std::string_view bytes_;
  bool ok_ = true;
};

void read_tail(Reader& in, message::Changes* m) {
  m->unheard.resize(in.count(2));
  if (m->unheard.size() > kUnheardMax) return in.refuse();
  for (Unheard& one : m->unheard) {
    one.feature = in.name();
    one.reason = in.text(kUnheardReasonBytesMax);
    if (!in.ok()) return;
  }
  m->break_id = in.number();
  if (m->unheard.empty() && m->break_id == 0) in.refuse();  // nothing has one form: no tail
}

void read(Reader& in, message::Changes* m) {
  m->origin = in.name();
  m->incarnation.value = in.number();
  m->up_to.value = in.number();
  m->l2_told.value = in.number();
  m->l2_generation = static_cast<std::uint32_t>(in.number_up_to(UINT32_MAX));
  m->l2_told_count = in.number();
  m->replay_from.value = in.number();
  std::vector<std::string> features(in.count(1));
  for (std::string& feature : features) feature = in.name();
  m->changes.resize(in.count(kChangeBytesMin));
  if (!m->changes.empty() && features.empty()) m->changes.clear();
  for (Change& change : m->changes) {
    change.feature = features[in.number_up_to(features.size() - 1)];
    change.scope =
        static_cast<Change::Scope>(in.number_up_to(static_cast<std::uint64_t>(Change::Scope::kFeature)));
    change.id.value = in.number();
    change.position.value = in.number();
    change.committed.ns = in.signed_number();
    change.key = in.text();
    if (!in.ok()) return;
  }
  if (in.ok() && !in.is_at_end()) read_tail(in, m);
}

void read(Reader& in, message::Floor* m) {
  m->origin = in.name();
  m->feature = in.name();
  m->incarnation.value = in.number();
  m->from.value = in.number();
  m->reason = in.text(kMessageReasonBytesMax);
  if (!in.ok() || in.is_at_end()) return;
  m->is_lost = in.number() == 1;
  if (!m->is_lost) in.refuse();
}

void read(Reader& in, message::Invalidate* m) {
  m->request = in.number();
  m->node = in.name();
  m->feature = in.name();
  m->tag = in.text();
  m->names.resize(in.count(1));
  for (std::string& name : m->names) name = in.text();
}

void read(Reader& in, message::Applied* m) {
  m->request = in.number();
  m->node = in.name();
}

void read(Reader& in, message::Presence* m) {
  m->node = in.name();
  m->process = in.number();
  m->applied.value = in.number();
  m->leaving = in.number_up_to(1) == 1;
  m->l2_generation = static_cast<std::uint32_t>(in.number_up_to(UINT32_MAX));
  m->l2_told_count = in.number();
  if (!in.ok() || in.is_at_end()) return;
  constexpr std::size_t kWritesBytesMin = 4;
  const std::size_t count = in.count(kWritesBytesMin);
  if (count == 0 || count > kFeatureWritesMax) return in.refuse();
  m->writes.resize(count);
  for (FeatureWrites& one : m->writes) {
    one.feature = in.name();
    one.changes_per_hour = in.number();
    one.waits = in.number_up_to(1) == 1;
    one.gather_ms = static_cast<std::uint32_t>(in.number_up_to(UINT32_MAX));
    if (!in.ok()) return;
  }
}

void read(Reader& in, message::SelfTest* m) {
  m->node = in.name();
  m->token = in.number();
}

std::unexpected<Error> corrupt(std::string what) {
  return fail(ErrorCode::kCorrupt, "stream message: " + std::move(what));
}

// The body as alternative number `kind` of StreamMessage.
template <std::size_t I = 0>
Result<StreamMessage> read_kind(std::size_t kind, std::string_view body) {
  if constexpr (I == std::variant_size_v<StreamMessage>) {
    return corrupt(fmt::format("kind {} is not known", kind));
  } else {
    if (kind != I) return read_kind<I + 1>(kind, body);
    std::variant_alternative_t<I, StreamMessage> message;
    Reader in(body);
    read(in, &message);
    if (!in.is_at_end()) return corrupt("its lengths and numbers do not add up");
    return StreamMessage{std::move(message)};
  }
}

}  // namespace

Result<std::string> encode_message(const StreamMessage& message) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(kVersion));
  out.push_back(static_cast<char>(message.index()));
  Writer writer(&out);
  std::visit([&writer](const auto& m) { write(writer, m); }, message);
  if (!writer.fits()) {
    return fail(
        ErrorCode::kLimit,
        fmt::format("stream message: a name is longer than {} bytes, or more than {} features unheard",
                    kMessageNameBytesMax, kUnheardMax));
  }
  if (out.size() + kChecksumBytes > kMessageBytesMax) {
    return fail(ErrorCode::kLimit, fmt::format("stream message of {} bytes is above the limit of {}",
                                               out.size() + kChecksumBytes, kMessageBytesMax));
  }
  const std::uint64_t sum = hash_bytes(out, kChecksumSeed);
  char bytes[kChecksumBytes];
  std::memcpy(bytes, &sum, sizeof sum);
  out.append(bytes, sizeof bytes);
  return out;
}

Result<StreamMessage> decode_message(std::string_view bytes) {
  if (bytes.size() > kMessageBytesMax) return corrupt("larger than the limit");
  if (bytes.size() < kHeaderBytes + kChecksumBytes) return corrupt("shorter than its header");
  if (!bytes.starts_with(kMagic)) return corrupt("does not begin with CDSM");
  // Before the checksum: a later version may keep it elsewhere.
  if (const auto version = static_cast<std::uint8_t>(bytes[4]); version != kVersion) {
    return corrupt(fmt::format("version {}, this build knows version {}: a newer node writes to this stream",
                               version, kVersion));
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  std::uint64_t sum = 0;
  std::memcpy(&sum, bytes.data() + body.size(), sizeof sum);
  if (sum != hash_bytes(body, kChecksumSeed)) return corrupt("checksum does not match");
  return read_kind(static_cast<std::uint8_t>(bytes[5]), body.substr(kHeaderBytes));
}

}  // namespace candor
