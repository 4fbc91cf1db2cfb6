#include "app/alerting.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include "base/random.h"

namespace candor::app {

Alerting::Alerting(Parts parts, const AlertsConfig& config, Write write)
    : book_({parts.node, config.runbook, config.repeat, config.refresh}),
      write_(std::move(write)),
      problems_([this](const std::string& part, const std::string& text) {
        write_(!text.empty(),
               fmt::format("alerts to {}: {}", part, text.empty() ? "all is well again" : text));
      }) {
  for (const std::string& url : config.webhook) {
    parts.seed = mix64(parts.seed);
    add_webhook(parts, url);
  }
}

void Alerting::add_webhook(const Parts& parts, const std::string& url) {
  auto target = parse_webhook_url(url);
  if (!target) {  // the configuration was checked; a library's caller may not have
    write_(true, fmt::format("[alerts] webhook: {}; no alert is sent there", target.error().message));
    return;
  }
  Receiver& receiver = *receivers_.emplace_back(std::make_unique<Receiver>());
  const auto say = [this, &receiver, home = parts.home](const std::string& text) {
    receiver.problem = text;
    problems_.note(receiver.webhook->shown(), text, home->now());
  };
  receiver.webhook = std::make_unique<Webhook>(parts.home, parts.transport, std::move(*target), parts.source,
                                               parts.seed, say);
  receiver.webhook->limit_attempts(parts.attempt_max);
}

void Alerting::judge(const ExposureReport& report, MonoTime now) {
  std::size_t lines = 0, unwritten = 0;
  for (const AlertEvent& event : book_.note(report, now)) {
    tell(event);
    if (event.kind == AlertEvent::Kind::kRefreshed) continue;
    if (++lines > kLinesMax)
      ++unwritten;
    else
      write_(event.kind != AlertEvent::Kind::kResolved, alert_line(event));
  }
  if (unwritten > 0) write_(true, fmt::format("{} more alerts changed and were not written here", unwritten));
}

void Alerting::tell(const AlertEvent& event) {
  for (const auto& receiver : receivers_) receiver->webhook->put(event.alert);
}

AlertingReport Alerting::report() const {
  AlertingReport out;
  out.is_built = true;
  out.pages = book_.active("page");
  out.tickets = book_.active("ticket");
  out.left_out = book_.left_out();
  for (const auto& receiver : receivers_) {
    const AlertOutbox& outbox = receiver->webhook->outbox();
    const AlertOutbox::Counts& counts = outbox.counts();
    out.webhooks.push_back({receiver->webhook->shown(), receiver->problem, outbox.waiting(), counts.delivered,
                            counts.refused, counts.dropped, counts.failed});
  }
  return out;
}

Alerting::Write write_alerts_to_log() {
  return [](bool is_warning, const std::string& line) {
    spdlog::log(is_warning ? spdlog::level::warn : spdlog::level::info, "{}", line);
  };
}

std::string alert_line(const AlertEvent& event) {
  const Alert& alert = event.alert;
  const char* how = event.kind == AlertEvent::Kind::kResolved   ? " is over"
                    : event.kind == AlertEvent::Kind::kRepeated ? " goes on"
                                                                : "";
  std::string line = fmt::format("{}{}: {}", alert.label("severity"), how, alert.annotation("summary"));
  const auto impact = alert.annotation("impact");
  if (event.kind != AlertEvent::Kind::kResolved && !impact.empty())
    line += fmt::format(" (what it means: {})", impact);
  // One line a message, whatever the configuration's texts hold.
  for (char& c : line)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return line;
}

}  // namespace candor::app
