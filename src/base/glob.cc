#include "base/glob.h"

#include <cstddef>
#include <utility>

namespace candor {

namespace {

unsigned char fold(char c, bool ignore_case) {
  if (ignore_case && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return static_cast<unsigned char>(c);
}

// Matches one byte against the set that begins at pattern[at] == '['; moves `at` behind the set. A set
// without its bracket reaches to the end of the pattern, as in Redis.
bool match_set(std::string_view pattern, std::size_t* at, char c, bool ignore_case) {
  std::size_t i = *at + 1;
  const bool negated = i < pattern.size() && pattern[i] == '^';
  if (negated) ++i;
  const unsigned char byte = fold(c, ignore_case);
  bool found = false;
  while (i < pattern.size() && pattern[i] != ']') {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      found |= fold(pattern[i + 1], ignore_case) == byte;
      i += 2;
    } else if (i + 2 < pattern.size() && pattern[i + 1] == '-') {
      auto low = fold(pattern[i], ignore_case);
      auto high = fold(pattern[i + 2], ignore_case);
      if (low > high) std::swap(low, high);
      found |= byte >= low && byte <= high;
      i += 3;
    } else {
      found |= fold(pattern[i], ignore_case) == byte;
      ++i;
    }
  }
  *at = i < pattern.size() ? i + 1 : i;
  return found != negated;
}

// Matches one byte against the element at pattern[at], which is not a star; moves `at` behind it.
bool match_one(std::string_view pattern, std::size_t* at, char c, bool ignore_case) {
  const char p = pattern[*at];
  if (p == '[') return match_set(pattern, at, c, ignore_case);
  if (p == '?') {
    ++*at;
    return true;
  }
  if (p == '\\' && *at + 1 < pattern.size()) ++*at;
  return fold(pattern[(*at)++], ignore_case) == fold(c, ignore_case);
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text, bool ignore_case) {
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t p = 0;
  std::size_t star = kNone;   // behind the latest star
  std::size_t star_text = 0;  // where the text stood when that star matches as little as it may
  for (std::size_t t = 0; t < text.size();) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_text = t;
      if (p == pattern.size()) return true;
      continue;
    }
    if (p < pattern.size() && match_one(pattern, &p, text[t], ignore_case)) {
      ++t;
      continue;
    }
    if (star == kNone) return false;
    p = star;
    t = ++star_text;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace candor
