// The dashboard's files, built into the program: made from web/ by cmake/web_assets.cmake.
#pragma once

#include <span>
#include <string_view>

namespace candor::app {

struct WebAsset {
  std::string_view path;  // "/app.js"
  std::string_view content_type;
  std::string_view bytes;
};

[[nodiscard]] std::span<const WebAsset> web_assets();

}  // namespace candor::app
