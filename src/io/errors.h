// What the kernel said, in words.
#pragma once

#include <string>
#include <system_error>

namespace candor {

// As strerror(), but safe in threads and in lower case, to stand inside a sentence.
[[nodiscard]] inline std::string error_text(int error) {
  std::string text = std::generic_category().message(error);
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a') text[0] += 'a' - 'A';
  return text;
}

}  // namespace candor
