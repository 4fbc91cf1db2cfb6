# Makes one C++ file out of the dashboard's files: cmake -DWEB=… -DUPLOT=… -DOUT=… -P web_assets.cmake
# As arrays of bytes: string literals have a length limit that a script library exceeds.
set(names index.html app.js budgets.js capacity.js charts.js detail.js live.js model.js state.js words.js style.css icon.svg uplot.js uplot.css)
set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")
set(file_uplot.js ${UPLOT}/uPlot.iife.min.js)
set(file_uplot.css ${UPLOT}/uPlot.min.css)

set(arrays "")
set(table "")
set(count 0)
foreach(name ${names})
  set(file "${WEB}/${name}")
  if(DEFINED file_${name})
    set(file "${file_${name}}")
  endif()
  set(bytes "")
  if(EXISTS "${file}")
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  endif()
  string(REGEX REPLACE "^.*\\." "" ending "${name}")
  string(APPEND arrays "constexpr unsigned char kAsset${count}[] = {${bytes}0};\n")
  string(APPEND table "    {\"/${name}\", \"${type_${ending}}\", {reinterpret_cast<const char*>(kAsset${count}), sizeof kAsset${count} - 1}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE "${OUT}" "// Made from web/ by cmake/web_assets.cmake.
#include \"app/web_assets.h\"

#include <array>

namespace candor::app {
namespace {

${arrays}
const std::array<WebAsset, ${count}> kAssets = {{
${table}}};

}  // namespace

std::span<const WebAsset> web_assets() { return kAssets; }

}  // namespace candor::app
")
