// CLIENT TRACKING and its like: what a connection wants to hear, and how it hears it.
#include "server/client_tracking.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "proto/resp_number.h"
#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

// Each is tried for every key that changes; Redis has no limit here.
constexpr std::size_t kPrefixesMax = 128;
constexpr std::string_view kChannel = "__redis__:invalidate";

struct Request {
  bool on = false;
  std::uint64_t redirect = 0;
  ClientTracking wanted;
};

// "Prefixes for a single client must not overlap": a key would be told twice.
bool refuse_overlap(Session& session, const std::vector<std::string>& held,
                    std::vector<std::string>& wanted) {
  const auto overlap = [](std::string_view a, std::string_view b) {
    return a.starts_with(b) || b.starts_with(a);
  };
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    for (const auto& other : held) {
      if (wanted[i] == other || !overlap(wanted[i], other)) continue;
      session.error("ERR Prefix '" + wanted[i] + "' overlaps with an existing prefix '" + other +
                    "'. Prefixes for a single client must not overlap.");
      return true;
    }
    for (std::size_t j = i + 1; j < wanted.size(); ++j) {
      if (!overlap(wanted[i], wanted[j])) continue;
      session.error("ERR Prefix '" + wanted[i] + "' overlaps with another provided prefix '" + wanted[j] +
                    "'. Prefixes for a single client must not overlap.");
      return true;
    }
  }
  return false;
}

// False: an error has been answered.
bool parse(Session& session, Args args, Request* request) {
  ClientTracking& wanted = request->wanted;
  for (std::size_t i = 3; i < args.size(); ++i) {
    const bool more = i + 1 < args.size();
    if (is_word(args[i], "REDIRECT") && more) {
      std::int64_t id = 0;
      if (request->redirect != 0) {
        session.error("ERR A client can only redirect to a single other client");
        return false;
      }
      if (!parse_integer_arg(session, args[++i], &id)) return false;
      request->redirect = static_cast<std::uint64_t>(id);
    } else if (is_word(args[i], "BCAST")) {
      wanted.broadcast = true;
    } else if (is_word(args[i], "OPTIN")) {
      wanted.opt_in = true;
    } else if (is_word(args[i], "OPTOUT")) {
      wanted.opt_out = true;
    } else if (is_word(args[i], "NOLOOP")) {
      wanted.no_loop = true;
    } else if (is_word(args[i], "PREFIX") && more) {
      wanted.prefixes.emplace_back(args[++i]);
    } else {
      session.syntax_error();
      return false;
    }
  }
  request->on = is_word(args[2], "ON");
  if (!request->on && !is_word(args[2], "OFF")) session.syntax_error();
  return request->on || is_word(args[2], "OFF");
}

// Options that cannot go together, or not with what is on already. Null: they can.
const char* contradiction(const ClientTracking& wanted, const ClientTracking* now) {
  if (!wanted.broadcast && !wanted.prefixes.empty())
    return "ERR PREFIX option requires BCAST mode to be enabled";
  if (now != nullptr && now->broadcast != wanted.broadcast) {
    return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
           "re-enabling it with a different mode.";
  }
  if (wanted.broadcast && (wanted.opt_in || wanted.opt_out))
    return "ERR OPTIN and OPTOUT are not compatible with BCAST";
  if (wanted.opt_in && wanted.opt_out) return "ERR You can't specify both OPTIN mode and OPTOUT mode";
  if (now != nullptr && ((wanted.opt_in && now->opt_out) || (wanted.opt_out && now->opt_in))) {
    return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
           "re-enabling it with a different mode.";
  }
  return nullptr;
}

// Looks for the connection to redirect to, on every loop, and then goes on.
void with_redirect(Session& session, Request request) {
  const auto place = session.defer_alone();
  auto found = std::make_shared<std::optional<Tracking::Address>>();
  auto visit = [found, wanted = request.redirect](Session& other) {
    if (other.id() == wanted) *found = Tracking::Address{other.loop().shared_from_this(), wanted};
  };
  auto done = [found, place, request = std::move(request), loop = session.loop().shared_from_this(),
               id = session.id()]() mutable {
    // On another loop by now: what this needs it takes along.
    loop->with_session(id, [found, place, request = std::move(request)](Session& back) mutable {
      if (*found) back.track(std::move(request.wanted), std::move(*found));
      back.finish(place, [&](std::string& out) {
        *found ? resp::write_simple(out, "OK")
               : answer_error(back, out, "ERR The client ID you want redirect to does not exist");
      });
      back.completed();
    });
  };
  session.server().visit_sessions(std::move(visit), std::move(done));
}

}  // namespace

void client_tracking(Session& session, Args args) {
  Request request;
  if (!parse(session, args, &request)) return;
  if (!request.on) {
    session.stop_tracking();
    return session.ok();
  }
  if (session.server().context().tracking == nullptr)
    return session.error("ERR CLIENT TRACKING is not available on this server");
  const ClientTracking* now = session.tracking();
  ClientTracking& wanted = request.wanted;
  if (const char* why = contradiction(wanted, now)) return session.error(why);
  static const std::vector<std::string> kNone;
  if (refuse_overlap(session, now == nullptr ? kNone : now->prefixes, wanted.prefixes)) return;
  if (now != nullptr)
    wanted.prefixes.insert(wanted.prefixes.end(), now->prefixes.begin(), now->prefixes.end());
  if (wanted.broadcast && wanted.prefixes.empty()) wanted.prefixes.emplace_back();
  std::ranges::sort(wanted.prefixes);
  const auto repeated = std::ranges::unique(wanted.prefixes);
  wanted.prefixes.erase(repeated.begin(), repeated.end());
  if (wanted.prefixes.size() > kPrefixesMax) {
    return session.error("LIMIT CLIENT TRACKING takes up to " + std::to_string(kPrefixesMax) +
                         " prefixes of one connection");
  }
  wanted.redirect = request.redirect;
  if (request.redirect != 0) return with_redirect(session, std::move(request));
  session.track(std::move(wanted), std::nullopt);
  session.ok();
}

void client_caching(Session& session, Args args) {
  ClientTracking* tracking = session.tracking();
  if (tracking == nullptr) {
    return session.error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
        "enabled");
  }
  if (is_word(args[2], "YES")) {
    if (!tracking->opt_in)
      return session.error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
  } else if (is_word(args[2], "NO")) {
    if (!tracking->opt_out)
      return session.error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
  } else {
    return session.syntax_error();
  }
  tracking->caching = true;
  session.ok();
}

void client_tracking_info(Session& session, Args) {
  const ClientTracking* tracking = session.tracking();
  std::vector<std::string_view> flags = {tracking == nullptr ? "off" : "on"};
  if (tracking != nullptr) {
    if (tracking->broadcast) flags.emplace_back("bcast");
    if (tracking->opt_in) flags.emplace_back("optin");
    if (tracking->opt_in && tracking->caching) flags.emplace_back("caching-yes");
    if (tracking->opt_out) flags.emplace_back("optout");
    if (tracking->opt_out && tracking->caching) flags.emplace_back("caching-no");
    if (tracking->no_loop) flags.emplace_back("noloop");
    if (tracking->broken) flags.emplace_back("broken_redirect");
  }
  std::string& out = session.out();
  resp::write_map(out, 3, session.protocol());
  resp::write_bulk(out, "flags");
  resp::write_set(out, flags.size(), session.protocol());
  for (const auto flag : flags) resp::write_bulk(out, flag);
  resp::write_bulk(out, "redirect");
  resp::write_integer(out, tracking == nullptr ? -1 : static_cast<std::int64_t>(tracking->redirect));
  resp::write_bulk(out, "prefixes");
  resp::write_array(out, tracking == nullptr ? 0 : tracking->prefixes.size());
  if (tracking == nullptr) return;
  for (const auto& prefix : tracking->prefixes) resp::write_bulk(out, prefix);
}

void client_get_redirect(Session& session, Args) {
  const ClientTracking* tracking = session.tracking();
  session.integer(tracking == nullptr ? -1 : static_cast<std::int64_t>(tracking->redirect));
}

// ---- the session's side ----

void Session::track(ClientTracking wanted, std::optional<Tracking::Address> redirect) {
  Tracking::Options options{std::move(redirect), wanted.broadcast, wanted.no_loop, wanted.prefixes};
  Tracking& table = *server_.context().tracking;
  if (tracking_ != nullptr) {
    wanted.member = tracking_->member;
    table.change(wanted.member, std::move(options));
  } else {
    wanted.member = table.join({loop_, id_}, std::move(options));
  }
  tracking_ = std::make_unique<ClientTracking>(std::move(wanted));
}

void Session::stop_tracking() {
  if (tracking_ == nullptr) return;
  server_.context().tracking->leave(tracking_->member);
  tracking_.reset();
}

// Before the values are read: a change from now on is told.
void Session::remember_reads(const Command& command, Args args) {
  if (command.name == "CLIENT") return;  // CLIENT CACHING speaks of the next command
  const bool caching = std::exchange(tracking_->caching, false);
  const bool wanted = tracking_->opt_in ? caching : !caching;
  if (!wanted || tracking_->broadcast || !command.has(Command::kReadOnly) || command.first_key == 0) return;
  const auto count = static_cast<int>(args.size());
  const int last = command.last_key < 0 ? count + command.last_key : std::min(command.last_key, count - 1);
  for (int i = command.first_key; i <= last; i += command.key_step) {
    const std::string_view name = args[static_cast<std::size_t>(i)];
    const ResolvedKey key = loop_->recent.resolve(server_.features(), name);
    if (key.feature != nullptr && key.key.size() <= kKeyBytesMax && user_->may_touch(key.feature->id()))
      remember_read(key, name);
  }
}

void Session::remember_read(const ResolvedKey& key, std::string_view name) {
  server_.context().tracking->remember(tracking_->member, {key.feature->id(), key.key},
                                       name.size() != key.key.size());
}

namespace {

void write_invalidation(std::string& out, resp::Protocol protocol, const std::string* name) {
  if (protocol == resp::Protocol::kResp3) {
    resp::write_push(out, 2, protocol);
    resp::write_bulk(out, "invalidate");
  } else {
    resp::write_array(out, 3);
    resp::write_bulk(out, "message");
    resp::write_bulk(out, kChannel);
  }
  if (name == nullptr) return resp::write_null(out, protocol);
  resp::write_array(out, 1);
  resp::write_bulk(out, *name);
}

}  // namespace

// On the receiver's loop. While a reply of the one who tracks is under way, its value may be the old one, or
// a new one that was read after the key had been forgotten: the key is told again behind it, so that the
// client never keeps what nobody would tell it about.
void Session::push_invalidation(const Tracking::Push& push) {
  const bool is_own = push.receiver.session == push.owner.session;
  if (closed_ || (is_own && tracking_ == nullptr)) return;
  if (protocol_ == resp::Protocol::kResp2 && (is_own || subscriptions() == 0)) return;
  if (places_.empty() || !push.own_change || !is_own)
    write_invalidation(peer_->output(), protocol_, push.name.get());
  if (!places_.empty() && is_own)
    write_invalidation(places_.tail(peer_->output()), protocol_, push.name.get());
  settle();
}

void Session::redirect_is_broken() {
  if (closed_ || tracking_ == nullptr) return;
  tracking_->broken = true;
  if (protocol_ != resp::Protocol::kResp3) return;
  std::string& out = peer_->output();
  resp::write_push(out, 2, protocol_);
  resp::write_bulk(out, "tracking-redir-broken");
  resp::write_integer(out, static_cast<std::int64_t>(tracking_->redirect));
  settle();
}

}  // namespace candor::server
