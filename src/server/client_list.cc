#include "server/client_list.h"

#include <fmt/format.h>

#include <memory>

#include "proto/resp_number.h"
#include "server/key_access.h"
#include "server/resp_server.h"
#include "server/session.h"

namespace candor::server {

namespace {

std::int64_t seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

std::string client_line(Session& session) {
  const auto& identity = session.identity();
  const MonoTime now = session.peer().executor().now();
  const ClientTracking* tracking = session.tracking();
  std::string flags = session.subscriptions() > 0 ? "P" : "";
  if (tracking != nullptr) flags += tracking->broadcast ? "tB" : "t";
  if (tracking != nullptr && tracking->broken) flags += "R";
  if (flags.empty()) flags = "N";
  return fmt::format(
      "id={} addr={} laddr= fd=-1 name={} age={} idle={} flags={} db=0 sub={} psub={} ssub=0 multi=-1 "
      "qbuf={} qbuf-free=0 argv-mem=0 "
      "multi-mem=0 rbs=0 rbp=0 obl={} oll=0 omem={} tot-mem={} events=r cmd={} user={} redir={} resp={} "
      "lib-name={} lib-ver={}",
      session.id(), session.peer().address(), identity.name, seconds(now - identity.since),
      seconds(now - identity.active), flags, session.channels().size(), session.patterns().size(),
      session.kept_bytes(), session.peer().unsent_bytes(), session.waiting_bytes(),
      session.kept_bytes() + session.waiting_bytes(),
      identity.last_command == nullptr ? std::string("NULL") : lower_case(identity.last_command->name),
      session.user() == nullptr ? std::string("(none)") : session.user()->name,
      tracking == nullptr ? -1 : static_cast<std::int64_t>(tracking->redirect),
      static_cast<int>(session.protocol()), identity.library, identity.library_version);
}

void client_list(Session& session, Args args) {
  if (args.size() > 2) return session.error("ERR CLIENT LIST takes no options here");
  const auto place = session.defer_alone();
  auto lines = std::make_shared<std::string>();
  auto done = [lines, place, loop = session.loop().shared_from_this(), id = session.id()]() mutable {
    loop->with_session(id, [lines, place](Session& back) {
      back.finish(place,
                  [&](std::string& out) { resp::write_verbatim(out, "txt", *lines, back.protocol()); });
      back.completed();
    });
  };
  session.server().visit_sessions([lines](Session& other) { lines->append(client_line(other)).append("\n"); },
                                  std::move(done));
}

// CLIENT KILL addr, or CLIENT KILL ID n | ADDR addr.
void client_kill(Session& session, Args args) {
  std::int64_t wanted_id = 0;
  std::string wanted_address;
  const bool old_form = args.size() == 3;
  if (old_form) {
    wanted_address = args[2];
  } else if (args.size() == 4 && is_word(args[2], "ADDR")) {
    wanted_address = args[3];
  } else if (args.size() != 4 || !is_word(args[2], "ID") || !resp::parse_integer(args[3], &wanted_id) ||
             wanted_id <= 0) {
    return session.syntax_error();
  }
  const auto place = session.defer_alone();
  auto killed = std::make_shared<std::int64_t>(0);
  const auto own = session.id();
  auto visit = [killed, wanted_id, wanted_address = std::move(wanted_address), own](Session& other) {
    const bool matches = wanted_id != 0 ? other.id() == static_cast<std::uint64_t>(wanted_id)
                                        : other.peer().address() == wanted_address;
    if (!matches) return;
    ++*killed;
    if (other.id() == own) {
      other.close_after_replies();
    } else {
      other.cut("CLIENT KILL");
    }
  };
  auto done = [killed, place, old_form, loop = session.loop().shared_from_this(), own]() mutable {
    loop->with_session(own, [killed, place, old_form](Session& back) {
      back.finish(place, [&](std::string& out) {
        if (!old_form) return resp::write_integer(out, *killed);
        *killed > 0 ? resp::write_simple(out, "OK") : resp::write_error(out, "ERR No such client");
      });
      back.completed();
    });
  };
  session.server().visit_sessions(std::move(visit), std::move(done));
}

}  // namespace candor::server
