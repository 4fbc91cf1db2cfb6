// Lays panels out on Grafana's grid and gives them their ids: rows from the top, panels from the left.
//
// Invariants: ids are 1, 2, …; no two panels overlap; none is wider than the grid.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace candor::app {

class GrafanaBoard {
 public:
  using Json = nlohmann::ordered_json;
  static constexpr int kWidth = 24;  // columns of Grafana's grid

  struct Query {
    std::string expr;
    std::string legend;  // "{{feature}}"; empty: Grafana's own
  };
  struct Look {
    std::string unit;  // Grafana's name of it: "percentunit", "s", "bytes", "ops"
    int width = 12, height = 8;
    std::string description;
  };

  void row(const std::string& title);
  void lines(const std::string& title, const std::vector<Query>& queries, const Look& look);
  // Buckets of a histogram over time.
  void heatmap(const std::string& title, const std::string& expr, const Look& look);
  // One row for each set of labels that the queries share; `columns` names the values in the queries' order.
  void table(const std::string& title, const std::vector<Query>& queries,
             const std::vector<std::string>& columns, const Look& look);
  void text(const std::string& title, const std::string& markdown, const Look& look);

  [[nodiscard]] Json take() { return std::move(panels_); }

 private:
  Json& add(const std::string& type, const std::string& title, const Look& look);
  void end_line();

  Json panels_ = Json::array();
  int id_ = 0;
  int x_ = 0, y_ = 0, line_height_ = 0;
};

// The data source that the dashboard's reader chose.
[[nodiscard]] GrafanaBoard::Json grafana_datasource();

}  // namespace candor::app
