// Commands about the connection itself.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

#include "proto/resp_number.h"
#include "server/client_list.h"
#include "server/key_access.h"
#include "server/password.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

// The Redis version whose behaviour clients may expect of what we support.
constexpr std::string_view kRedisVersion = "7.2.0";

// As Redis: what may stand in a name, so that a line of CLIENT LIST can be taken apart again.
bool is_plain_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '!' && c <= '~'; });
}

// Names and versions of clients are kept for CLIENT LIST; more is no name.
constexpr std::size_t kClientNameBytesMax = 256;

void ping(Session& session, Args args) {
  if (args.size() > 2) return session.error("ERR wrong number of arguments for 'ping' command");
  if (session.protocol() == resp::Protocol::kResp2 && session.subscriptions() > 0) {
    std::string& out = session.out();
    resp::write_array(out, 2);
    resp::write_bulk(out, "pong");
    resp::write_bulk(out, args.size() == 2 ? args[1] : "");
  } else if (args.size() == 2) {
    resp::write_bulk(session.out(), args[1]);
  } else {
    session.out().append("+PONG\r\n");
  }
}

void echo(Session& session, Args args) { resp::write_bulk(session.out(), args[1]); }

void quit(Session& session, Args) {
  session.ok();
  session.close_after_replies();
}

void select(Session& session, Args args) {
  std::int64_t index = 0;
  if (!resp::parse_integer(args[1], &index))
    return session.error("ERR value is not an integer or out of range");
  if (index != 0) return session.error("ERR DB index is out of range");
  session.ok();
}

// ---- HELLO and AUTH ----

struct Hello {
  std::optional<resp::Protocol> protocol;
  std::optional<std::pair<std::string, std::string>> credentials;
  std::optional<std::string> name;
};

void answer_hello(Session& session, std::string& out, const Hello& hello) {
  if (hello.protocol) session.set_protocol(*hello.protocol);
  if (hello.name) session.identity().name = *hello.name;
  const auto protocol = session.protocol();
  resp::write_map(out, 7, protocol);
  const auto text = [&](std::string_view key, std::string_view value) {
    resp::write_bulk(out, key);
    resp::write_bulk(out, value);
  };
  text("server", "redis");
  text("version", kRedisVersion);
  resp::write_bulk(out, "proto");
  resp::write_integer(out, static_cast<int>(protocol));
  resp::write_bulk(out, "id");
  resp::write_integer(out, static_cast<std::int64_t>(session.id()));
  text("mode", "standalone");
  text("role", "master");
  resp::write_bulk(out, "modules");
  resp::write_array(out, 0);
}

// What an AUTH that went wrong does, and what it answers.
std::string_view refuse_password(Session& session) {
  session.server().counters().wrong_passwords.add();
  if (++session.identity().wrong_passwords >= session.server().options().wrong_passwords_max)
    session.close_after_replies();
  return "WRONGPASS invalid username-password pair or user is disabled.";
}

// Checks a password away from this loop, then writes the reply: `succeed` when it was right.
void authenticate(Session& session, std::string name, std::string password,
                  std::function<void(Session&, std::string&)> succeed) {
  RespServer& server = session.server();
  if (!server.begin_password_check()) {
    return session.error("OVERLOADED too many passwords are being checked; try again in a moment");
  }
  const User* user = server.users().find(name);
  std::string hash = user != nullptr ? user->password_hash : server.users().decoy_hash();
  const auto place = session.defer_alone();
  Work check = [&server, loop = session.loop().shared_from_this(), id = session.id(), place, user,
                hash = std::move(hash), password = std::move(password),
                succeed = std::move(succeed)]() mutable {
    const bool right = check_password(password, hash) && user != nullptr;
    server.end_password_check();
    loop->with_session(id, [place, user, right, succeed = std::move(succeed)](Session& back) {
      if (right) back.log_in(user);
      back.finish(place, [&](std::string& out) {
        if (right) {
          succeed(back, out);
        } else {
          resp::write_error(out, refuse_password(back));
        }
      });
      back.completed();
    });
  };
  if (server.context().pool != nullptr) {
    server.context().pool->run(std::move(check));
  } else {
    session.loop().executor().post(std::move(check));
  }
}

// Of a server without users, as Redis: `default` has no password, so any is right; nobody else exists.
bool is_default_user(std::string_view name) { return name == Users::everybody().name; }

void auth(Session& session, Args args) {
  if (args.size() > 3) return session.syntax_error();
  if (session.server().users().is_open()) {
    if (args.size() == 3)
      return is_default_user(args[1]) ? session.ok() : session.error(refuse_password(session));
    return session.error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?");
  }
  const std::string_view name = args.size() == 3 ? args[1] : std::string_view("default");
  authenticate(session, std::string(name), std::string(args.back()),
               [](Session&, std::string& out) { out.append("+OK\r\n"); });
}

// False: an error was answered.
bool parse_hello(Session& session, Args args, Hello* hello) {
  if (args.size() > 1) {
    std::int64_t version = 0;
    if (!resp::parse_integer(args[1], &version)) {
      session.error("ERR Protocol version is not an integer or out of range");
      return false;
    }
    if (version != 2 && version != 3) {
      session.error("NOPROTO unsupported protocol version");
      return false;
    }
    hello->protocol = static_cast<resp::Protocol>(version);
  }
  for (std::size_t i = 2; i < args.size(); ++i) {
    const std::size_t more = args.size() - i - 1;
    if (is_word(args[i], "AUTH") && more >= 2) {
      hello->credentials = {std::string(args[i + 1]), std::string(args[i + 2])};
      i += 2;
    } else if (is_word(args[i], "SETNAME") && more >= 1 && is_plain_text(args[i + 1]) &&
               args[i + 1].size() <= kClientNameBytesMax) {
      hello->name = std::string(args[++i]);
    } else {
      session.error("ERR Syntax error in HELLO option '" + std::string(args[i].substr(0, 64)) + "'");
      return false;
    }
  }
  return true;
}

void hello(Session& session, Args args) {
  Hello hello;
  if (!parse_hello(session, args, &hello)) return;
  const bool is_open = session.server().users().is_open();
  if (hello.credentials && is_open && !is_default_user(hello.credentials->first))
    return session.error(refuse_password(session));
  if (hello.credentials && !is_open) {
    auto [name, password] = *hello.credentials;
    return authenticate(session, std::move(name), std::move(password),
                        [hello](Session& back, std::string& out) { answer_hello(back, out, hello); });
  }
  if (session.user() == nullptr) {
    return session.error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH "
        "<user> <pass> option can be "
        "used to authenticate the client and select the RESP protocol version at the same time");
  }
  answer_hello(session, session.out(), hello);
}

void reset(Session& session, Args) {
  session.set_trace(std::nullopt);
  session.unsubscribe_all();
  session.stop_tracking();
  session.adopt(nullptr);
  session.log_out();
  session.set_protocol(resp::Protocol::kResp2);
  session.set_replies(Session::Replies::kOn);
  session.identity().name.clear();
  session.out().append("+RESET\r\n");
}

// ---- CLIENT ----

void client_set_name(Session& session, Args args) {
  if (!is_plain_text(args[2]) || args[2].size() > kClientNameBytesMax) {
    return session.error("ERR Client names cannot contain spaces, newlines or special characters.");
  }
  session.identity().name = args[2];
  session.ok();
}

// W3C Trace Context: what follows on this connection is a part of that trace, until another is named, or ""
// ends it.
void client_set_trace(Session& session, std::string_view text) {
  const auto parent = parse_traceparent(text);
  if (!parent && !text.empty())
    return session.error(
        "ERR traceparent must be 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, or empty");
  session.set_trace(parent);
  session.ok();
}

void client_set_info(Session& session, Args args) {
  if (is_word(args[2], "TRACEPARENT")) return client_set_trace(session, args[3]);
  const bool is_name = is_word(args[2], "LIB-NAME");
  if (!is_name && !is_word(args[2], "LIB-VER")) {
    return session.error("ERR Unrecognized option '" + std::string(args[2].substr(0, 64)) + "'");
  }
  if (!is_plain_text(args[3]) || args[3].size() > kClientNameBytesMax) {
    return session.error("ERR " + std::string(is_name ? "lib-name" : "lib-ver") +
                         " cannot contain spaces, newlines or special characters.");
  }
  (is_name ? session.identity().library : session.identity().library_version) = args[3];
  session.ok();
}

void client_reply(Session& session, Args args) {
  if (is_word(args[2], "ON")) {
    session.set_replies(Session::Replies::kOn);
    session.unmute();
    session.ok();
  } else if (is_word(args[2], "OFF")) {
    session.set_replies(Session::Replies::kOff);
  } else if (is_word(args[2], "SKIP")) {
    session.set_replies(Session::Replies::kSkipNext);
  } else {
    session.syntax_error();
  }
}

void client_flag(Session& session, Args args) {
  const bool on = is_word(args[2], "ON");
  if (!on && !is_word(args[2], "OFF")) return session.syntax_error();
  (is_word(args[1], "NO-EVICT") ? session.identity().no_evict : session.identity().no_touch) = on;
  session.ok();
}

void client_id(Session& session, Args) { session.integer(static_cast<std::int64_t>(session.id())); }
void client_get_name(Session& session, Args) {
  const std::string& name = session.identity().name;
  if (name.empty()) return session.null();
  resp::write_bulk(session.out(), name);
}
void client_info(Session& session, Args) {
  resp::write_verbatim(session.out(), "txt", client_line(session) + "\n", session.protocol());
}

struct ClientCommand {
  std::string_view name;
  int arity;
  Right right;
  void (*run)(Session&, Args);
};

constexpr std::string_view kClientHelp[] = {
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "GETNAME",
    "    Return the name of the current connection.",
    "GETREDIR",
    "    Return the client ID that tracking redirects to, 0 for none, -1 when tracking is off.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections: ADDR, ID, LADDR, SKIPME, TYPE, USER.",
    "LIST [options ...]",
    "    Return information about client connections.",
    "NO-EVICT (ON|OFF)",
    "    Accepted; connections are not evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr: LIB-NAME, LIB-VER. TRACEPARENT: the trace of what follows.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Control server assisted client side caching.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
};

constexpr ClientCommand kClientCommands[] = {
    {"ID", 2, Right::kNone, client_id},
    {"GETNAME", 2, Right::kNone, client_get_name},
    {"SETNAME", 3, Right::kNone, client_set_name},
    {"SETINFO", 4, Right::kNone, client_set_info},
    {"INFO", 2, Right::kNone, client_info},
    {"LIST", -2, Right::kAdmin, client_list},
    {"KILL", -3, Right::kAdmin, client_kill},
    {"REPLY", 3, Right::kNone, client_reply},
    {"NO-EVICT", 3, Right::kNone, client_flag},
    {"NO-TOUCH", 3, Right::kNone, client_flag},
    {"CACHING", 3, Right::kNone, client_caching},
    {"TRACKING", -3, Right::kNone, client_tracking},
    {"TRACKINGINFO", 2, Right::kNone, client_tracking_info},
    {"GETREDIR", 2, Right::kNone, client_get_redirect},
};

void client(Session& session, Args args) {
  if (is_word(args[1], "HELP") && args.size() == 2) return write_help(session, "CLIENT", kClientHelp);
  for (const auto& sub : kClientCommands) {
    if (!is_word(args[1], sub.name)) continue;
    const bool fits = sub.arity >= 0 ? args.size() == static_cast<std::size_t>(sub.arity)
                                     : args.size() >= static_cast<std::size_t>(-sub.arity);
    if (!fits) {
      return wrong_arity(session, "client", sub.name);
    }
    if (!session.user()->has(sub.right)) {
      return session.error("NOPERM CLIENT " + std::string(sub.name) + " needs the right 'admin'");
    }
    return sub.run(session, args);
  }
  unknown_subcommand(session, "CLIENT", args[1]);
}

using C = Command;
constexpr Command kConnectionCommands[] = {
    {"PING", -1, C::kFast | C::kSubscriber, Right::kNone, 0, 0, 0, "connection", "1.0.0",
     "Answers PONG, or its argument.", ping},
    {"ECHO", 2, C::kFast, Right::kNone, 0, 0, 0, "connection", "1.0.0", "Answers its argument.", echo},
    {"HELLO", -1, C::kFast | C::kNoAuth | C::kBarrier, Right::kNone, 0, 0, 0, "connection", "6.0.0",
     "Chooses RESP2 or RESP3, and authenticates.", hello},
    {"AUTH", -2, C::kFast | C::kNoAuth | C::kBarrier, Right::kNone, 0, 0, 0, "connection", "1.0.0",
     "Authenticates the connection.", auth},
    {"CLIENT", -2, C::kBarrier, Right::kNone, 0, 0, 0, "connection", "2.4.0",
     "About this and other connections.", client},
    {"SELECT", 2, C::kFast, Right::kNone, 0, 0, 0, "connection", "1.0.0", "There is one database, 0.",
     select},
    {"QUIT", -1, C::kFast | C::kNoAuth | C::kSubscriber, Right::kNone, 0, 0, 0, "connection", "1.0.0",
     "Closes the connection.", quit},
    {"RESET", 1, C::kFast | C::kNoAuth | C::kSubscriber | C::kBarrier, Right::kNone, 0, 0, 0, "connection",
     "6.2.0", "As a new connection: no subscriptions, no user, RESP2.", reset},
};

}  // namespace

std::span<const Command> connection_commands() { return kConnectionCommands; }

}  // namespace candor::server
