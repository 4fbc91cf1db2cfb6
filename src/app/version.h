// The version that programs, metrics and pages show.
#pragma once

namespace candor::app {

inline constexpr const char* kVersion = "0.1.0";  // as project(… VERSION …) in CMakeLists.txt

}  // namespace candor::app
