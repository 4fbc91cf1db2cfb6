#include "app/grafana_board.h"

#include <algorithm>

#include "base/assert.h"

namespace candor::app {
namespace {

using Json = GrafanaBoard::Json;

std::string letter(std::size_t index) { return std::string(1, static_cast<char>('A' + index)); }

Json target(std::size_t index, const GrafanaBoard::Query& query) {
  Json out = {{"refId", letter(index)}, {"datasource", grafana_datasource()}, {"expr", query.expr}};
  if (!query.legend.empty()) out["legendFormat"] = query.legend;
  return out;
}

Json targets(const std::vector<GrafanaBoard::Query>& queries) {
  CANDOR_ASSERT(queries.size() <= 26);
  Json out = Json::array();
  for (std::size_t i = 0; i < queries.size(); ++i) out.push_back(target(i, queries[i]));
  return out;
}

Json field_config(const GrafanaBoard::Look& look) {
  Json defaults = Json::object();
  if (!look.unit.empty()) defaults["unit"] = look.unit;
  return {{"defaults", defaults}, {"overrides", Json::array()}};
}

}  // namespace

Json grafana_datasource() { return {{"type", "prometheus"}, {"uid", "${datasource}"}}; }

void GrafanaBoard::end_line() {
  y_ += line_height_;
  x_ = line_height_ = 0;
}

Json& GrafanaBoard::add(const std::string& type, const std::string& title, const Look& look) {
  CANDOR_ASSERT(look.width > 0 && look.width <= kWidth && look.height > 0);
  if (x_ + look.width > kWidth) end_line();
  Json panel = {{"id", ++id_},
                {"type", type},
                {"title", title},
                {"gridPos", {{"x", x_}, {"y", y_}, {"w", look.width}, {"h", look.height}}}};
  if (!look.description.empty()) panel["description"] = look.description;
  x_ += look.width;
  line_height_ = std::max(line_height_, look.height);
  panels_.push_back(std::move(panel));
  return panels_.back();
}

void GrafanaBoard::row(const std::string& title) {
  end_line();
  Json& row = add("row", title, {.width = kWidth, .height = 1});
  row["collapsed"] = false;
  row["panels"] = Json::array();
}

void GrafanaBoard::lines(const std::string& title, const std::vector<Query>& queries, const Look& look) {
  Json& panel = add("timeseries", title, look);
  panel["datasource"] = grafana_datasource();
  panel["fieldConfig"] = field_config(look);
  panel["options"] = {{"legend", {{"displayMode", "list"}, {"placement", "bottom"}}},
                      {"tooltip", {{"mode", "multi"}, {"sort", "desc"}}}};
  panel["targets"] = targets(queries);
}

void GrafanaBoard::heatmap(const std::string& title, const std::string& expr, const Look& look) {
  Json& panel = add("heatmap", title, look);
  panel["datasource"] = grafana_datasource();
  panel["options"] = {{"calculate", false}, {"yAxis", {{"unit", look.unit}}}, {"cellGap", 1}};
  panel["targets"] = targets({{expr, "{{le}}"}});
  panel["targets"][0]["format"] = "heatmap";
}

void GrafanaBoard::table(const std::string& title, const std::vector<Query>& queries,
                         const std::vector<std::string>& columns, const Look& look) {
  CANDOR_ASSERT(queries.size() == columns.size());
  Json& panel = add("table", title, look);
  panel["datasource"] = grafana_datasource();
  panel["fieldConfig"] = field_config(look);
  panel["targets"] = targets(queries);
  Json excluded = {{"Time", true}}, renamed = Json::object();
  for (std::size_t i = 0; i < queries.size(); ++i) {
    panel["targets"][i]["format"] = "table";
    panel["targets"][i]["instant"] = true;
    const std::string value = queries.size() == 1 ? "Value" : "Value #" + letter(i);
    // A query without a column tells by its labels alone.
    if (columns[i].empty())
      excluded[value] = true;
    else
      renamed[value] = columns[i];
  }
  panel["transformations"] = {
      {{"id", "merge"}, {"options", Json::object()}},
      {{"id", "organize"}, {"options", {{"excludeByName", excluded}, {"renameByName", renamed}}}}};
}

void GrafanaBoard::text(const std::string& title, const std::string& markdown, const Look& look) {
  Json& panel = add("text", title, look);
  panel["options"] = {{"mode", "markdown"}, {"content", markdown}};
}

}  // namespace candor::app
