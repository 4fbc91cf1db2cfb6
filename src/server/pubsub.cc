// Publish and subscribe, inside this node.
#include <string>
#include <vector>

#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

using Kind = PubSubHub::Kind;

void confirm(Session& session, std::string_view what, const std::string* name) {
  std::string& out = session.out();
  resp::write_push(out, 3, session.protocol());
  resp::write_bulk(out, what);
  name == nullptr ? resp::write_null(out, session.protocol()) : resp::write_bulk(out, *name);
  resp::write_integer(out, static_cast<std::int64_t>(session.subscriptions()));
}

auto& names_of(Session& session, Kind kind) {
  return kind == Kind::kChannel ? session.channels() : session.patterns();
}

void subscribe_to(Session& session, Args args, Kind kind, std::string_view what) {
  RespServer& server = session.server();
  for (const auto arg : args.subspan(1)) {
    auto& names = names_of(session, kind);
    const std::string name(arg);
    if (name.size() > kKeyBytesMax) {
      return session.error("LIMIT the name of a channel or pattern is longer than " +
                           std::to_string(kKeyBytesMax) + " bytes");
    }
    if (!names.contains(name)) {
      if (session.subscriptions() >= server.options().subscriptions_max)
        return session.error("LIMIT too many subscriptions on this connection");
      if (!server.pubsub().subscribe(kind, name, session.loop().shared_from_this(), session.id())) {
        return session.error("LIMIT too many patterns are subscribed on this node");
      }
      names.insert(name);
    }
    confirm(session, what, &name);
  }
}

void unsubscribe_from(Session& session, Args args, Kind kind, std::string_view what) {
  auto& names = names_of(session, kind);
  std::vector<std::string> leaving(args.begin() + 1, args.end());
  if (args.size() == 1) leaving.assign(names.begin(), names.end());
  if (leaving.empty()) return confirm(session, what, nullptr);
  for (const auto& name : leaving) {
    if (names.erase(name) > 0) session.server().pubsub().unsubscribe(kind, name, session.id());
    confirm(session, what, &name);
  }
}

void subscribe(Session& session, Args args) { subscribe_to(session, args, Kind::kChannel, "subscribe"); }
void psubscribe(Session& session, Args args) { subscribe_to(session, args, Kind::kPattern, "psubscribe"); }
void unsubscribe(Session& session, Args args) {
  unsubscribe_from(session, args, Kind::kChannel, "unsubscribe");
}
void punsubscribe(Session& session, Args args) {
  unsubscribe_from(session, args, Kind::kPattern, "punsubscribe");
}

void publish(Session& session, Args args) {
  session.server().counters().messages_published.add();
  session.integer(static_cast<std::int64_t>(session.server().pubsub().publish(args[1], args[2])));
}

void pubsub(Session& session, Args args) {
  PubSubHub& hub = session.server().pubsub();
  if (is_word(args[1], "CHANNELS") && args.size() <= 3) {
    const auto names = hub.channels_like(args.size() == 3 ? args[2] : std::string_view());
    resp::write_array(session.out(), names.size());
    for (const auto& name : names) resp::write_bulk(session.out(), name);
  } else if (is_word(args[1], "NUMSUB")) {
    resp::write_map(session.out(), args.size() - 2, resp::Protocol::kResp2);
    for (const auto name : args.subspan(2)) {
      resp::write_bulk(session.out(), name);
      session.integer(static_cast<std::int64_t>(hub.listeners(name)));
    }
  } else if (is_word(args[1], "NUMPAT") && args.size() == 2) {
    session.integer(static_cast<std::int64_t>(hub.pattern_count()));
  } else {
    session.error("ERR unknown subcommand or wrong number of arguments for '" +
                  std::string(args[1].substr(0, 64)) + "'. Try PUBSUB HELP.");
  }
}

using C = Command;
constexpr auto kFlags = C::kPubSub | C::kSubscriber;
// Messages do not queue behind replies. A RESP2 client would take one for the reply it still waits for, so
// that listening begins when everything before it has been answered.
constexpr auto kBegins = kFlags | C::kBarrier;
constexpr Command kPubsubCommands[] = {
    {"SUBSCRIBE", -2, kBegins, Right::kRead, 0, 0, 0, "pubsub", "2.0.0", "Listens to channels.", subscribe},
    {"UNSUBSCRIBE", -1, kFlags, Right::kRead, 0, 0, 0, "pubsub", "2.0.0", "Stops listening to channels.",
     unsubscribe},
    {"PSUBSCRIBE", -2, kBegins, Right::kRead, 0, 0, 0, "pubsub", "2.0.0",
     "Listens to channels that match patterns.", psubscribe},
    {"PUNSUBSCRIBE", -1, kFlags, Right::kRead, 0, 0, 0, "pubsub", "2.0.0", "Stops listening to patterns.",
     punsubscribe},
    {"PUBLISH", 3, C::kPubSub | C::kFast, Right::kWrite, 0, 0, 0, "pubsub", "2.0.0",
     "Sends a message to a channel's listeners on this node.", publish},
    {"PUBSUB", -2, C::kPubSub, Right::kRead, 0, 0, 0, "pubsub", "2.8.0", "About channels and patterns.",
     pubsub},
};

}  // namespace

std::span<const Command> pubsub_commands() { return kPubsubCommands; }

}  // namespace candor::server
