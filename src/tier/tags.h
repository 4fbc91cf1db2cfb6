// Tags: names under which keys of several features can be invalidated together. A feature lists patterns,
// such as "catalog" or "user:{1}", where {n} is column n of the key. Which tags a key has is a function of
// its name, so that nothing has to be stored to find them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/result.h"

namespace candor {

class TagPattern {
 public:
  // Both bounds keep a lookup of a tagged key within microseconds; schemas have one to three.
  static constexpr std::size_t kTagsMax = 8;
  static constexpr std::size_t kBytesMax = 128;

  // Errors (kConfiguration) say what is wrong with the text alone.
  [[nodiscard]] static Result<TagPattern> parse(std::string_view text);

  // True: every key of the feature has it.
  [[nodiscard]] bool is_static() const { return pieces_.size() == 1 && pieces_[0].column == 0; }
  // The highest column that it names; 0: none.
  [[nodiscard]] std::uint8_t columns() const { return columns_; }
  // The tag of a key with these columns; empty: the key lacks one of them.
  [[nodiscard]] std::string tag(const std::vector<std::string_view>& columns) const;
  // May a key have this tag?
  [[nodiscard]] bool may_make(std::string_view tag) const;

 private:
  struct Piece {
    std::string text;
    std::uint8_t column = 0;  // 0: text
  };
  std::vector<Piece> pieces_;
  std::uint8_t columns_ = 0;
};

// The tags of one feature's keys.
class FeatureTags {
 public:
  // `key_columns`: as many as its statements name; the last one takes the rest of a key, colons included.
  FeatureTags(std::vector<TagPattern> patterns, std::uint8_t key_columns);

  [[nodiscard]] std::vector<std::string> of_key(std::string_view key) const;
  // Of these, those that differ from key to key.
  [[nodiscard]] std::vector<std::string> keyed(std::string_view key) const;
  [[nodiscard]] bool has_keyed() const { return has_keyed_; }
  // Every key of the feature has it.
  [[nodiscard]] bool is_of_all(std::string_view tag) const;
  // Some keys may have it, and others not.
  [[nodiscard]] bool is_of_some(std::string_view tag) const;

 private:
  [[nodiscard]] std::vector<std::string_view> columns_of(std::string_view key) const;
  [[nodiscard]] std::vector<std::string> make(std::string_view key, bool with_static) const;

  std::vector<TagPattern> patterns_;
  std::uint8_t key_columns_;
  bool has_keyed_ = false;
};

// The tags of whole names, `feature:key`. Const after construction.
class TagRules {
 public:
  explicit TagRules(std::uint64_t seed) : features_(0, SeededHash{seed}) {}
  void add(std::string feature, FeatureTags tags) { features_.emplace(std::move(feature), std::move(tags)); }
  [[nodiscard]] bool empty() const { return features_.empty(); }
  // Empty for most.
  [[nodiscard]] std::vector<std::string> of_name(std::string_view name) const;

 private:
  std::unordered_map<std::string, FeatureTags, SeededHash, std::equal_to<>> features_;
};

}  // namespace candor
