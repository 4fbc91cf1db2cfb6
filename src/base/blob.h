// Numbers and texts to bytes and back, for state that outlives the process on one machine: little-endian, in
// a fixed order, nothing that describes itself.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace candor {

static_assert(std::endian::native == std::endian::little, "blobs are written in this machine's order");

class BlobWriter {
 public:
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void put(Number value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void put(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    out_.append(text);
  }
  [[nodiscard]] std::string take() { return std::move(out_); }
  [[nodiscard]] const std::string& bytes() const { return out_; }

 private:
  std::string out_;
};

// Reading past the end gives zeros and makes is_good() false for ever after: ask once, at the end.
class BlobReader {
 public:
  explicit BlobReader(std::string_view bytes) : rest_(bytes) {}
  template <class Number>
    requires std::is_arithmetic_v<Number>
  [[nodiscard]] Number take() {
    Number value{};
    if (!good_ || rest_.size() < sizeof value) return fail(), Number{};
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  [[nodiscard]] std::string_view take_text() {
    const auto size = take<std::uint32_t>();
    if (!good_ || rest_.size() < size) return fail(), std::string_view{};
    const auto text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return text;
  }
  // The caller found a value that cannot be.
  void fail() { good_ = false; }
  [[nodiscard]] bool is_good() const { return good_; }
  [[nodiscard]] bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace candor
