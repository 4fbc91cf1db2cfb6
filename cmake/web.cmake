# Builds the dashboard's files into candor_app (see web_assets.cmake). uPlot comes from npm (scripts/install).
set(CANDOR_UPLOT ${CMAKE_SOURCE_DIR}/web/node_modules/uplot/dist)
if(NOT EXISTS ${CANDOR_UPLOT}/uPlot.iife.min.js)
  message(WARNING "web/node_modules is missing: the dashboard is built without charts; run scripts/install and configure again")
endif()
set(candor_web_sources)
foreach(name index.html app.js budgets.js capacity.js charts.js detail.js live.js model.js state.js words.js style.css icon.svg)
  list(APPEND candor_web_sources ${CMAKE_SOURCE_DIR}/web/${name})
endforeach()
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/generated/web_assets.cc
  COMMAND ${CMAKE_COMMAND} -DWEB=${CMAKE_SOURCE_DIR}/web -DUPLOT=${CANDOR_UPLOT}
          -DOUT=${CMAKE_BINARY_DIR}/generated/web_assets.cc -P ${CMAKE_SOURCE_DIR}/cmake/web_assets.cmake
  DEPENDS ${candor_web_sources} ${CMAKE_SOURCE_DIR}/cmake/web_assets.cmake
  COMMENT "Building in the dashboard")
target_sources(candor_app PRIVATE ${CMAKE_BINARY_DIR}/generated/web_assets.cc)
