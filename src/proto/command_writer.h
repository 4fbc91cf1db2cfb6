// Writes commands as a client sends them: an array of bulk strings, at the end of a string.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "proto/reply_writer.h"

namespace candor::resp {

inline void write_command(std::string& out, std::span<const std::string_view> args) {
  write_array(out, args.size());
  for (const auto arg : args) write_bulk(out, arg);
}

inline void write_command(std::string& out, std::initializer_list<std::string_view> args) {
  write_command(out, std::span<const std::string_view>(args.begin(), args.size()));
}

}  // namespace candor::resp
