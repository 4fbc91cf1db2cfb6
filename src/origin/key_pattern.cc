#include "origin/key_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "origin/statement.h"

namespace candor {
namespace {

std::optional<int> part_number(std::string_view name) {
  if (name == "key") return 0;
  if (!name.starts_with("key")) return std::nullopt;
  name.remove_prefix(3);
  int part = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), part);
  if (code != std::errc{} || end != name.data() + name.size() || part < 1 || part > kKeyPartsMax)
    return std::nullopt;
  return part;
}

}  // namespace

Result<KeyPattern> KeyPattern::parse(std::string_view feature, std::string_view role, std::string_view text) {
  const auto bad = [&](std::string_view what) {
    return fail(
        ErrorCode::kConfiguration,
        fmt::format("feature {}: {}: {}; for a Redis origin it is a key pattern such as \"user:{{key}}\"",
                    feature, role, what));
  };
  KeyPattern pattern;
  bool whole = false;
  std::uint32_t seen = 0;
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    Piece piece{std::string(text.substr(0, open)), -1};
    if (piece.text.find('}') != std::string::npos) return bad("a } without its {");
    text.remove_prefix(std::min(text.size(), piece.text.size()));
    if (open != std::string_view::npos) {
      const std::size_t close = text.find('}');
      if (close == std::string_view::npos) return bad("a { without its }");
      const auto part = part_number(text.substr(1, close - 1));
      if (!part) return bad(fmt::format("unknown name {}", text.substr(0, close + 1)));
      piece.part = *part;
      whole = whole || *part == 0;
      seen |= *part > 0 ? 1U << (*part - 1) : 0U;
      pattern.parts_ = std::max(pattern.parts_, static_cast<std::uint8_t>(*part));
      text.remove_prefix(close + 1);
    }
    pattern.pieces_.push_back(std::move(piece));
  }
  if (whole && seen != 0) return bad("{key} and {key1} cannot both be used");
  if (!whole && seen == 0) return bad("it does not contain {key}");
  if (!whole && seen != (1U << pattern.parts_) - 1)
    return bad("a number is left out among {key1}, {key2}, …");
  return pattern;
}

Result<std::string> KeyPattern::name_of(std::string_view feature, std::string_view key) const {
  auto parts = split_key(feature, key, parts_);
  if (!parts) return std::unexpected(parts.error());
  std::string out;
  for (const Piece& piece : pieces_) {
    out += piece.text;
    if (piece.part == 0) out += key;
    if (piece.part > 0) out += (*parts)[static_cast<std::size_t>(piece.part) - 1];
  }
  return out;
}

// ---- from a name back to its keys ----

// Tries every way to cut the name into the pattern's pieces. A part that occurs twice must say the same
// twice.
struct KeyPattern::Search {
  const KeyPattern* pattern;
  std::string_view name;
  std::vector<std::optional<std::string_view>> parts;  // [0]: the whole key
  std::vector<std::string> found{};
  int steps = 0;
  bool is_too_much = false;

  void try_piece(std::size_t number, std::size_t at) {
    if (is_too_much || ++steps > kStepsMax) {
      is_too_much = true;
      return;
    }
    if (number == pattern->pieces_.size()) {
      if (at == name.size()) add();
      return;
    }
    const Piece& piece = pattern->pieces_[number];
    if (!name.substr(at).starts_with(piece.text)) return;
    at += piece.text.size();
    if (piece.part < 0) return try_piece(number + 1, at);
    auto& part = parts[static_cast<std::size_t>(piece.part)];
    if (part) {
      if (name.substr(at).starts_with(*part)) try_piece(number + 1, at + part->size());
      return;
    }
    std::size_t shortest = at;
    std::size_t longest = name.size();
    if (const auto tail = fixed_tail(number + 1)) {
      if (*tail > name.size() - at) return;
      shortest = longest = name.size() - *tail;
    }
    for (std::size_t end = shortest; end <= longest && !is_too_much; ++end) {
      const std::string_view text = name.substr(at, end - at);
      // A colon ends every part but the last.
      if (piece.part > 0 && piece.part < pattern->parts_ && text.find(':') != std::string_view::npos) break;
      part = text;
      try_piece(number + 1, end);
      part.reset();
    }
  }

 private:
  // The length of what follows, when nothing in it is open any more.
  [[nodiscard]] std::optional<std::size_t> fixed_tail(std::size_t number) const {
    std::size_t bytes = 0;
    for (; number < pattern->pieces_.size(); ++number) {
      bytes += pattern->pieces_[number].text.size();
      if (pattern->pieces_[number].part >= 0) return std::nullopt;
    }
    return bytes;
  }
  void add() {
    std::string key;
    if (pattern->parts_ == 0) key = *parts[0];
    for (std::size_t i = 1; i <= pattern->parts_; ++i) {
      if (i > 1) key += ':';
      key += *parts[i];
    }
    if (std::ranges::find(found, key) != found.end()) return;
    is_too_much = found.size() >= kKeysMax;
    found.push_back(std::move(key));
  }
};

std::optional<std::vector<std::string>> KeyPattern::keys_of(std::string_view name) const {
  Search search{this, name, std::vector<std::optional<std::string_view>>(std::size_t{parts_} + 1)};
  search.try_piece(0, 0);
  if (search.is_too_much) return std::nullopt;
  return std::move(search.found);
}

}  // namespace candor
