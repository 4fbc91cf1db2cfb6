#include "tier/l2/redis_handshake.h"

#include <fmt/format.h>

namespace candor::redis {
namespace {

bool is_unknown_hello(std::string_view error) {
  return error.starts_with("NOPROTO") || error.starts_with("ERR unknown command") ||
         error.starts_with("ERR Protocol version");
}

std::string advice(std::string_view error) {
  if (error.starts_with("NOAUTH")) return "the server wants a password; write redis://USER:PASSWORD@HOST";
  if (error.starts_with("WRONGPASS") || error.starts_with("ERR invalid password")) {
    return "the server refused user or password; check both in the URL";
  }
  if (error.starts_with("ERR max number of clients")) return "raise `maxclients` at the server";
  return "the server refused the connection's first commands";
}

}  // namespace

std::string Handshake::begin() {
  std::string out;
  std::vector<std::string_view> hello{"HELLO", "3"};
  if (!options_->password.empty()) {
    hello.insert(hello.end(), {"AUTH", options_->user.empty() ? std::string_view{"default"} : options_->user,
                               options_->password});
  }
  hello.insert(hello.end(), {"SETNAME", options_->client_name});
  resp::write_command(out, hello);
  return out;
}

Handshake::Verdict Handshake::on_reply(const resp::RespValue& reply, std::string* out) {
  switch (phase_) {
    case Phase::kHello:
      if (!reply.is_error()) {
        resp3_ = true;
        if (const auto* role = reply.find("role")) replica_ = role->text == "replica";
        return set_up(out);
      }
      if (!is_unknown_hello(reply.text)) return fail(reply.text);
      if (options_->password.empty()) return set_up(out);
      phase_ = Phase::kAuth;
      if (options_->user.empty()) {
        resp::write_command(*out, {"AUTH", options_->password});
      } else {
        resp::write_command(*out, {"AUTH", options_->user, options_->password});
      }
      return Verdict::kWait;
    case Phase::kAuth:
      return reply.is_error() ? fail(reply.text) : set_up(out);
    case Phase::kSetup:
      break;
  }
  if (!select_answered_) {
    select_answered_ = true;
    if (reply.is_error()) return fail(fmt::format("{} (SELECT {})", reply.text, options_->database));
  } else if (tracking_asked_) {
    tracking_asked_ = false;
    if (reply.is_error()) tracking_refusal_ = reply.text;
  } else {
    // A script that does not load now is sent in full with its first use.
    std::string& sha = shas_[scripts_answered_++];
    if (reply.is_text()) sha = reply.text;
  }
  return !tracking_asked_ && scripts_answered_ == shas_.size() ? Verdict::kReady : Verdict::kWait;
}

Handshake::Verdict Handshake::set_up(std::string* out) {
  phase_ = Phase::kSetup;
  // SELECT also for database 0: a proxy may have handed us a used connection, and one reply is then always
  // due.
  resp::write_command(*out, {"SELECT", std::to_string(options_->database)});
  tracking_asked_ = options_->tracking && resp3_;
  if (tracking_asked_) resp::write_command(*out, {"CLIENT", "TRACKING", "ON"});
  if (options_->tracking && !resp3_) tracking_refusal_ = "the server does not speak RESP3";
  for (const std::string_view script : options_->scripts)
    resp::write_command(*out, {"SCRIPT", "LOAD", script});
  return Verdict::kWait;
}

Handshake::Verdict Handshake::fail(std::string reason) {
  reason_ = fmt::format("{} ({})", advice(reason), reason);
  return Verdict::kFailed;
}

}  // namespace candor::redis
