#include "change/pgoutput.h"

#include <fmt/format.h>

#include <concepts>
#include <utility>

namespace candor::pgoutput {
namespace {

// PostgreSQL's epoch, 2000-01-01, in the seconds of ours.
constexpr std::int64_t kEpochSeconds = 946'684'800;
// A year outside of 1970 to 2200 is no commit time; it would overflow nanoseconds.
constexpr std::int64_t kMicrosecondsMax = std::int64_t{200} * 366 * 86'400 * 1'000'000;

WallTime wall_time(std::int64_t us) {
  if (us < -kEpochSeconds * 1'000'000 || us > kMicrosecondsMax) return {};
  return WallTime{(us + kEpochSeconds * 1'000'000) * 1'000};
}

// Reads on until something does not fit; then every further read gives nothing and `ok` stays false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <std::unsigned_integral T>
  T number() {
    const auto bytes = take(sizeof(T));
    T value = 0;
    for (const char byte : bytes) value = static_cast<T>(value << 8 | static_cast<unsigned char>(byte));
    return value;
  }
  std::int64_t microseconds() { return static_cast<std::int64_t>(number<std::uint64_t>()); }
  Position position() { return Position{number<std::uint64_t>()}; }
  char letter() { return static_cast<char>(number<std::uint8_t>()); }

  std::string_view text() {
    const auto end = rest_.find('\0');
    if (end == std::string_view::npos) return failed();
    const auto found = take(end);
    rest_.remove_prefix(1);
    return found;
  }
  std::string_view take(std::size_t count) {
    if (!ok_ || count > rest_.size()) return failed();
    const auto bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }
  void spoil() { failed(); }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::string_view failed() {
    ok_ = false;
    rest_ = {};
    return {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

Value read_value(Reader& reader) {
  switch (reader.letter()) {
    case 'n':
      return {Value::Kind::kNull, {}};
    case 'u':
      return {Value::Kind::kUnchanged, {}};
    case 't':
      return {Value::Kind::kText, reader.take(reader.number<std::uint32_t>())};
    case 'b':
      return {Value::Kind::kBinary, reader.take(reader.number<std::uint32_t>())};
    default:
      reader.spoil();
      return {};
  }
}

Tuple read_tuple(Reader& reader) {
  Tuple tuple;
  const std::size_t count = reader.number<std::uint16_t>();
  if (count > reader.left()) {  // each takes a byte at least: nothing is reserved for a lie
    reader.spoil();
    return tuple;
  }
  tuple.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) tuple.push_back(read_value(reader));
  return tuple;
}

Begin read_begin(Reader& reader) {
  Begin begin;
  begin.final_position = reader.position();
  begin.committed = wall_time(reader.microseconds());
  begin.xid = reader.number<std::uint32_t>();
  return begin;
}

Commit read_commit(Reader& reader) {
  Commit commit;
  if (reader.letter() != 0) reader.spoil();  // flags: none are defined
  commit.begin = reader.position();
  commit.end = reader.position();
  commit.committed = wall_time(reader.microseconds());
  return commit;
}

Relation read_relation(Reader& reader) {
  Relation relation;
  relation.id = reader.number<std::uint32_t>();
  relation.schema = reader.text();
  if (relation.schema.empty()) relation.schema = "pg_catalog";
  relation.name = reader.text();
  relation.identity = reader.letter();
  const std::size_t count = reader.number<std::uint16_t>();
  constexpr std::size_t kColumnBytesMin = 10;  // flags, an empty name, type, modifier
  if (count > reader.left() / kColumnBytesMin) {
    reader.spoil();
    return relation;
  }
  relation.columns.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    Column column;
    column.in_identity = (reader.number<std::uint8_t>() & 1) != 0;
    column.name = reader.text();
    column.type = reader.number<std::uint32_t>();
    (void)reader.number<std::uint32_t>();  // type modifier
    relation.columns.push_back(column);
  }
  return relation;
}

Insert read_insert(Reader& reader) {
  Insert insert;
  insert.relation = reader.number<std::uint32_t>();
  if (reader.letter() != 'N') reader.spoil();
  insert.row = read_tuple(reader);
  return insert;
}

Update read_update(Reader& reader) {
  Update update;
  update.relation = reader.number<std::uint32_t>();
  char part = reader.letter();
  if (part == 'K' || part == 'O') {
    update.old_kind = static_cast<OldKind>(part);
    update.old_row = read_tuple(reader);
    part = reader.letter();
  }
  if (part != 'N') reader.spoil();
  update.row = read_tuple(reader);
  return update;
}

Delete read_delete(Reader& reader) {
  Delete gone;
  gone.relation = reader.number<std::uint32_t>();
  const char part = reader.letter();
  if (part != 'K' && part != 'O') reader.spoil();
  gone.old_kind = static_cast<OldKind>(part);
  gone.old_row = read_tuple(reader);
  return gone;
}

Truncate read_truncate(Reader& reader) {
  Truncate truncate;
  const std::size_t count = reader.number<std::uint32_t>();
  (void)reader.number<std::uint8_t>();  // CASCADE, RESTART IDENTITY: the tables are all listed anyway
  if (count > reader.left() / sizeof(std::uint32_t)) {
    reader.spoil();
    return truncate;
  }
  truncate.relations.reserve(count);
  for (std::size_t i = 0; i < count; ++i) truncate.relations.push_back(reader.number<std::uint32_t>());
  return truncate;
}

Message read_body(char kind, Reader& reader, bool& known) {
  switch (kind) {
    case 'B':
      return read_begin(reader);
    case 'C':
      return read_commit(reader);
    case 'R':
      return read_relation(reader);
    case 'I':
      return read_insert(reader);
    case 'U':
      return read_update(reader);
    case 'D':
      return read_delete(reader);
    case 'T':
      return read_truncate(reader);
    case 'O':
    case 'Y':
    case 'M':
      (void)reader.take(reader.left());
      return Ignored{kind};
    default:
      known = false;
      return Ignored{kind};
  }
}

}  // namespace

Result<Frame> decode_frame(std::string_view bytes) {
  Reader reader(bytes);
  const char kind = reader.letter();
  if (kind == 'w') {
    // Where the record begins and where the log ends: the messages inside say more.
    (void)reader.take(24);
    if (!reader.ok()) return fail(ErrorCode::kCorrupt, "replication frame: its head is cut off");
    return WalData{reader.rest()};
  }
  if (kind == 'k') {
    Keepalive keepalive;
    keepalive.sent = reader.position();
    keepalive.server_time_us = reader.microseconds();
    keepalive.reply_wanted = reader.letter() != 0;
    if (!reader.ok()) return fail(ErrorCode::kCorrupt, "replication keepalive: cut off");
    return keepalive;
  }
  return fail(ErrorCode::kCorrupt, fmt::format("replication frame of an unknown kind ({:#04x})",
                                               static_cast<unsigned char>(kind)));
}

std::string encode_status(Position received, Position confirmed, std::int64_t time_us, bool reply_wanted) {
  std::string bytes = "r";
  const auto put = [&bytes](std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift & 0xff));
  };
  put(received.value);
  put(confirmed.value);  // flushed
  put(confirmed.value);  // applied
  put(static_cast<std::uint64_t>(time_us));
  bytes.push_back(reply_wanted ? 1 : 0);
  return bytes;
}

Result<Message> decode_message(std::string_view bytes) {
  Reader reader(bytes);
  const char kind = reader.letter();
  bool known = true;
  Message message = read_body(kind, reader, known);
  if (!known) {
    return fail(ErrorCode::kCorrupt, fmt::format("pgoutput message of an unknown kind ({:#04x})",
                                                 static_cast<unsigned char>(kind)));
  }
  if (!reader.ok() || reader.left() != 0) {
    return fail(ErrorCode::kCorrupt,
                fmt::format("pgoutput message {}: {}", kind,
                            reader.ok() ? "bytes follow its end" : "cut off or malformed"));
  }
  return message;
}

}  // namespace candor::pgoutput
