#include "proto/reply_writer.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "proto/resp_number.h"

namespace candor::resp {

namespace {

void write_header(std::string& out, char type, std::uint64_t number) {
  char header[kIntegerDigitsMax + 3];
  header[0] = type;
  char* end = std::to_chars(header + 1, header + 1 + kIntegerDigitsMax, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(header, static_cast<std::size_t>(end - header));
}

void write_line(std::string& out, char type, std::string_view text) {
  out.push_back(type);
  const std::size_t begin = out.size();
  out.append(text);
  for (std::size_t i = begin; i < out.size(); ++i) {
    if (out[i] == '\r' || out[i] == '\n') out[i] = ' ';
  }
  out.append("\r\n");
}

}  // namespace

void write_simple(std::string& out, std::string_view text) { write_line(out, '+', text); }

void write_error(std::string& out, std::string_view text) { write_line(out, '-', text); }

void write_integer(std::string& out, std::int64_t value) {
  char line[kIntegerDigitsMax + 3];
  line[0] = ':';
  char* end = format_integer(line + 1, value);
  *end++ = '\r';
  *end++ = '\n';
  out.append(line, static_cast<std::size_t>(end - line));
}

// The hot one: one growth, then plain copies.
void write_bulk(std::string& out, std::string_view bytes) {
  char header[kIntegerDigitsMax + 3];
  header[0] = '$';
  char* end = header + 1;
  if (bytes.size() < 10) {
    *end++ = static_cast<char>('0' + bytes.size());
  } else if (bytes.size() < 100) {
    *end++ = static_cast<char>('0' + bytes.size() / 10);
    *end++ = static_cast<char>('0' + bytes.size() % 10);
  } else {
    end = std::to_chars(end, end + kIntegerDigitsMax, bytes.size()).ptr;
  }
  *end++ = '\r';
  *end++ = '\n';
  const auto header_bytes = static_cast<std::size_t>(end - header);
  const std::size_t before = out.size();
  const std::size_t after = before + header_bytes + bytes.size() + 2;
  // libstdc++ 12 passes the capacity it chose, not the size that was asked for, so `after` is what counts.
  out.resize_and_overwrite(after, [&](char* data, std::size_t /*room*/) {
    char* to = data + before;
    std::memcpy(to, header, header_bytes);
    to += header_bytes;
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
    to[0] = '\r';
    to[1] = '\n';
    return after;
  });
}

void write_null(std::string& out, Protocol protocol) {
  out.append(protocol == Protocol::kResp3 ? std::string_view("_\r\n") : std::string_view("$-1\r\n"));
}

void write_null_array(std::string& out, Protocol protocol) {
  out.append(protocol == Protocol::kResp3 ? std::string_view("_\r\n") : std::string_view("*-1\r\n"));
}

void write_array(std::string& out, std::size_t elements) { write_header(out, '*', elements); }

void write_map(std::string& out, std::size_t pairs, Protocol protocol) {
  const bool resp3 = protocol == Protocol::kResp3;
  write_header(out, resp3 ? '%' : '*', resp3 ? pairs : 2 * pairs);
}

void write_set(std::string& out, std::size_t elements, Protocol protocol) {
  write_header(out, protocol == Protocol::kResp3 ? '~' : '*', elements);
}

void write_push(std::string& out, std::size_t elements, Protocol protocol) {
  write_header(out, protocol == Protocol::kResp3 ? '>' : '*', elements);
}

void write_double(std::string& out, double value, Protocol protocol) {
  const std::string text = format_double(value);
  if (protocol == Protocol::kResp2) return write_bulk(out, text);
  write_line(out, ',', text);
}

void write_boolean(std::string& out, bool value, Protocol protocol) {
  if (protocol == Protocol::kResp2) return write_integer(out, value ? 1 : 0);
  out.append(value ? "#t\r\n" : "#f\r\n");
}

void write_verbatim(std::string& out, std::string_view format, std::string_view text, Protocol protocol) {
  if (protocol == Protocol::kResp2) return write_bulk(out, text);
  write_header(out, '=', text.size() + 4);
  out.append(format.substr(0, 3));
  out.push_back(':');
  out.append(text);
  out.append("\r\n");
}

std::string format_double(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[32];  // the longest shortest form, "-2.2250738585072014e-308", has 24
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

}  // namespace candor::resp
