#include "tier/tags.h"

#include <algorithm>
#include <utility>

namespace candor {

namespace {

std::unexpected<Error> bad(std::string what) { return fail(ErrorCode::kConfiguration, std::move(what)); }

bool is_visible(char c) { return c > ' ' && c != 0x7f; }

}  // namespace

Result<TagPattern> TagPattern::parse(std::string_view text) {
  if (text.empty()) return bad("an empty tag names nothing; remove it");
  if (text.size() > kBytesMax)
    return bad("a tag has at most " + std::to_string(kBytesMax) + " bytes, this one " +
               std::to_string(text.size()));
  if (!std::ranges::all_of(text, is_visible)) return bad("a tag has no blanks and no control characters");
  TagPattern pattern;
  while (!text.empty()) {
    const auto brace = text.find_first_of("{}");
    if (brace != 0) pattern.pieces_.push_back({std::string(text.substr(0, brace)), 0});
    if (brace == std::string_view::npos) break;
    text.remove_prefix(brace);
    // {1} to {9}: keys of more columns are not known to exist.
    const bool is_column =
        text.size() >= 3 && text[0] == '{' && text[1] >= '1' && text[1] <= '9' && text[2] == '}';
    if (!is_column)
      return bad("{n} stands for column n of the key, from {1} to {9}; other braces mean nothing");
    const auto column = static_cast<std::uint8_t>(text[1] - '0');
    pattern.pieces_.push_back({{}, column});
    pattern.columns_ = std::max(pattern.columns_, column);
    text.remove_prefix(3);
  }
  return pattern;
}

std::string TagPattern::tag(const std::vector<std::string_view>& columns) const {
  std::string out;
  if (columns.size() < columns_) return out;
  for (const Piece& piece : pieces_) out.append(piece.column == 0 ? piece.text : columns[piece.column - 1U]);
  return out;
}

// By its fixed beginning and end: what lies between may be any column's text.
bool TagPattern::may_make(std::string_view tag) const {
  const Piece& first = pieces_.front();
  const Piece& last = pieces_.back();
  if (is_static()) return tag == first.text;
  std::size_t fixed = 0;
  for (const Piece& piece : pieces_) fixed += piece.text.size();
  return tag.size() >= fixed && tag.starts_with(first.text) && tag.ends_with(last.text);
}

FeatureTags::FeatureTags(std::vector<TagPattern> patterns, std::uint8_t key_columns)
    : patterns_(std::move(patterns)), key_columns_(std::max<std::uint8_t>(1, key_columns)) {
  has_keyed_ = !std::ranges::all_of(patterns_, &TagPattern::is_static);
}

std::vector<std::string_view> FeatureTags::columns_of(std::string_view key) const {
  std::vector<std::string_view> columns;
  while (columns.size() + 1 < key_columns_) {
    const auto colon = key.find(':');
    if (colon == std::string_view::npos) break;
    columns.push_back(key.substr(0, colon));
    key.remove_prefix(colon + 1);
  }
  columns.push_back(key);
  return columns;
}

std::vector<std::string> FeatureTags::make(std::string_view key, bool with_static) const {
  const auto columns = columns_of(key);
  std::vector<std::string> tags;
  for (const TagPattern& pattern : patterns_) {
    if (!with_static && pattern.is_static()) continue;
    if (std::string tag = pattern.tag(columns); !tag.empty()) tags.push_back(std::move(tag));
  }
  return tags;
}

std::vector<std::string> FeatureTags::of_key(std::string_view key) const { return make(key, true); }
std::vector<std::string> FeatureTags::keyed(std::string_view key) const { return make(key, false); }

bool FeatureTags::is_of_all(std::string_view tag) const {
  return std::ranges::any_of(
      patterns_, [tag](const TagPattern& pattern) { return pattern.is_static() && pattern.may_make(tag); });
}

bool FeatureTags::is_of_some(std::string_view tag) const {
  return std::ranges::any_of(
      patterns_, [tag](const TagPattern& pattern) { return !pattern.is_static() && pattern.may_make(tag); });
}

std::vector<std::string> TagRules::of_name(std::string_view name) const {
  if (features_.empty()) return {};
  const auto colon = name.find(':');
  if (colon == std::string_view::npos) return {};
  const auto found = features_.find(name.substr(0, colon));
  if (found == features_.end()) return {};
  return found->second.of_key(name.substr(colon + 1));
}

}  // namespace candor
